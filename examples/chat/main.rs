//! Chat. The address of a room serves its page and its stream, and accepts new lines.
//!
//! ```sh
//! cargo run --example chat
//! curl -N -H 'accept: text/event-stream' 'http://127.0.0.1:3000/rooms/lobby?as=ann'
//! curl -d 'hello' 'http://127.0.0.1:3000/rooms/lobby?as=bob'
//! ```
//!
//! A room has two topics: its lines, of which the last thousand are kept for new members, and its presence, of which only
//! the newest event counts. One stream has both, and one id is a position in both: a page that reloads, or was offline,
//! resumes after it.

mod presence;
mod said;

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, Uri},
    response::{Html, Redirect},
    routing::get,
};
use tokio::net::TcpListener;
use tower_sse::{
    BoxError, Refusal, SseLayer,
    hub::{Hub, LagPolicy, Retention, Start, Subscribe},
};

use crate::{
    presence::Presences,
    said::{Line, Room, Who, Wrong},
};

#[derive(Clone)]
struct Chat {
    hub: Hub,
    presences: Presences,
}

impl Chat {
    /// Returns the subscription of a stream: all kept lines or, with a last id, those after it.
    fn enter(&self, uri: &Uri) -> Result<Subscribe, Refusal> {
        let room = Room::parse(uri.path().strip_prefix("/rooms/").unwrap_or_default())?;
        let Query(who) = Query::<Who>::try_from_uri(uri).map_err(Wrong::from)?;
        let name = who.name()?;
        self.presences.track(&self.hub, &room)?;
        let both = Subscribe::to(room.lines()).and(room.presence());
        let both = both.start(Start::Beginning).lag(LagPolicy::Conflate);
        Ok(match name {
            Some(name) => both.member(name),
            None => both,
        })
    }
}

async fn page(Path(room): Path<String>) -> Result<Html<&'static str>, Wrong> {
    Room::parse(&room)?;
    Ok(Html(PAGE))
}

async fn say(
    State(chat): State<Chat>,
    Path(room): Path<String>,
    Query(who): Query<Who>,
    text: String,
) -> Result<StatusCode, Wrong> {
    let room = Room::parse(&room)?;
    let line = Line::new(&who, &text)?;
    chat.hub.topic(room.lines())?.publish(line.event()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kept = Retention::new().events(1000).age(Duration::from_secs(24 * 60 * 60));
    let chat = Chat { hub: Hub::builder().retention(kept).build(), presences: Presences::default() };

    let streams = chat.hub.service({
        let chat = chat.clone();
        move |head| chat.enter(head.uri())
    });
    let live = SseLayer::new(streams).last_event_id_query("after").retry(Duration::from_secs(1));
    let app = Router::new()
        .route("/", get(Redirect::to("/rooms/lobby")))
        .route("/rooms/{room}", get(page).post(say).layer(live))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(chat);

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

const PAGE: &str = include_str!("page.html");
