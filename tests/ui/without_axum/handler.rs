//! A handler that returns `Events` without feature `axum`.
// no remedy: the trait is axum's; the README and the crate's front page name the feature

use std::time::Duration;

use axum::{Router, routing::get};
use tower_sse::{Event, Events, Source};

async fn events() -> Events<impl Source> {
    Events::every(Duration::from_secs(1), || async { Event::new("tick") })
}

fn main() {
    let _: Router = Router::new().route("/events", get(events));
}
