//! The example `chat` on several nodes: a line said on any node is read on all, and a page resumes at any node.
//!
//! ```sh
//! redis-server --port 6380 --save '' &
//! REDIS_URL=redis://127.0.0.1:6380/ PORT=3001 cargo run -p tower-sse-example-cluster &
//! REDIS_URL=redis://127.0.0.1:6380/ PORT=3002 cargo run -p tower-sse-example-cluster &
//! curl -N -H 'accept: text/event-stream' 'http://127.0.0.1:3001/rooms/lobby?as=ann'
//! curl -d 'hello' 'http://127.0.0.1:3002/rooms/lobby?as=bob'
//! ```
//!
//! Only the line that builds the hub differs from `chat`, whose files for lines, validation and presence are reused.

#[path = "../../chat/presence.rs"]
mod presence;
#[path = "../../chat/said.rs"]
mod said;

use std::{env, net::IpAddr, time::Duration};

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
    backplane::redis::Redis,
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
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379/".to_owned());
    // Starts without Redis too, and waits for it with its streams open.
    let redis = Redis::builder(url).prefix("chat").age(DAY).build()?;
    let kept = Retention::new().events(1000).age(DAY);
    let chat =
        Chat { hub: Hub::builder().retention(kept).build_with_backplane(redis), presences: Presences::default() };

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

    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    // In a container, loopback is local to the container.
    let address = env::var("ADDRESS").map_or(Ok(IpAddr::from([127, 0, 0, 1])), |address| address.parse())?;
    let listener = TcpListener::bind((address, port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const PAGE: &str = include_str!("../../chat/page.html");
