//! An event service whose error is `anyhow::Error`.
// no remedy: the bound of the error is `Into<Refusal>`, whose message is the standard library's

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use tower::service_fn;
use tower_sse::{Event, Events, Source, SseLayer};

async fn events(_request: http::Request<Body>) -> anyhow::Result<Events<impl Source>> {
    Ok(Events::every(Duration::from_secs(1), || async { Event::new("tick") }))
}

fn main() {
    let layer = SseLayer::new(service_fn(events));
    let _: Router = Router::new().route("/", get("the page").layer(layer));
}
