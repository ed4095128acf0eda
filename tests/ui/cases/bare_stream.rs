//! A function of `from_fn` that returns a stream.
// remedy: Events::new(stream)

use futures_util::stream;
use tower_sse::{Event, SseLayer};

fn main() {
    let _ = SseLayer::from_fn(|_request: http::Request<()>| async { stream::iter([Event::new("tick")]) });
}
