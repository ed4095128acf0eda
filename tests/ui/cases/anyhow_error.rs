//! A function of `from_fn` whose error is `anyhow::Error`.
// remedy: .map_err(Refusal::internal)

use std::time::Duration;

use tower_sse::{Event, Events, Source, SseLayer};

async fn events(_request: http::Request<()>) -> anyhow::Result<Events<impl Source>> {
    Ok(Events::every(Duration::from_secs(1), || async { Event::new("tick") }))
}

fn main() {
    let _ = SseLayer::from_fn(events);
}
