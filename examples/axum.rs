//! An auction: an app with a page, routes, state and extractors. One line adds a live stream of bids to the address of a
//! lot, beside the JSON that it serves already.
//!
//! ```sh
//! cargo run --example axum --features axum
//! curl http://127.0.0.1:3000/lots/teapot
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/lots/teapot
//! curl --json '{"by":"you","amount":300}' http://127.0.0.1:3000/lots/teapot
//! ```

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    handler::Handler,
    http::StatusCode,
    response::Html,
    routing::get,
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch};
use tower_sse::{Event, Events, LastEventId, Refusal, Source, SseLayer};

#[derive(Clone, Serialize, Deserialize)]
struct Bid {
    by: String,
    amount: u32,
}

/// The bids of each lot, the highest last. Watchers of a lot are woken by each new bid.
struct Auction(BTreeMap<&'static str, watch::Sender<Vec<Bid>>>);

impl Auction {
    fn lot(&self, name: &str) -> Result<&watch::Sender<Vec<Bid>>, StatusCode> {
        self.0.get(name).ok_or(StatusCode::NOT_FOUND)
    }
}

type Shared = State<Arc<Auction>>;

async fn lots(State(auction): Shared) -> Json<Vec<&'static str>> {
    Json(auction.0.keys().copied().collect())
}

async fn bids(State(auction): Shared, Path(lot): Path<String>) -> Result<Json<Vec<Bid>>, StatusCode> {
    Ok(Json(auction.lot(&lot)?.borrow().clone()))
}

async fn bid(State(auction): Shared, Path(lot): Path<String>, Json(bid): Json<Bid>) -> Result<StatusCode, StatusCode> {
    let is_highest = auction.lot(&lot)?.send_if_modified(|bids| {
        let is_highest = bids.last().is_none_or(|highest| bid.amount > highest.amount);
        bids.extend(is_highest.then_some(bid));
        is_highest
    });
    if is_highest { Ok(StatusCode::CREATED) } else { Err(StatusCode::CONFLICT) }
}

/// Streams the bids that this client has not seen yet, then each new one. The id of an event is the number of bids up to
/// it.
async fn live_bids(
    State(auction): Shared,
    Path(lot): Path<String>,
    last: Option<LastEventId>,
) -> Result<Events<impl Source>, Refusal> {
    let bids = auction.lot(&lot)?.subscribe();
    // The id is untrusted. One ahead of the list is from before a restart.
    let seen = last.and_then(|id| id.to_str()?.parse().ok()).filter(|seen| *seen <= bids.borrow().len());
    let unseen = stream::unfold((bids, seen.unwrap_or(0)), async |(mut bids, seen)| {
        let bid = bids.wait_for(|bids| bids.len() > seen).await.ok()?[seen].clone();
        Some((Event::builder().id(seen as u64 + 1).json(&bid), (bids, seen + 1)))
    });
    Ok(Events::new(unseen))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let lots_open = ["painting", "teapot", "violin"].map(|name| (name, watch::Sender::default()));
    let auction = Arc::new(Auction(lots_open.into()));

    let live = SseLayer::new(live_bids.with_state(auction.clone())).heartbeat(Duration::from_secs(15));
    let app = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/lots", get(lots))
        .route("/lots/{lot}", get(bids).post(bid).layer(live)) // here
        .with_state(auction);

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

const PAGE: &str = include_str!("axum.html");
