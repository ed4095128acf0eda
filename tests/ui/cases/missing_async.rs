//! A closure of `from_fn` that is not async.
// no remedy: the bound is `Future`, whose message is the standard library's; it shows the closure and says that it needs a future

use std::time::Duration;

use tower_sse::{Event, Events, SseLayer};

fn main() {
    let _ = SseLayer::from_fn(|_request: http::Request<()>| {
        Events::every(Duration::from_secs(1), || async { Event::new("tick") })
    });
}
