//! An `async` block that borrows the request, which the closure owns.
// remedy: move

use std::time::Duration;

use tower_sse::{Event, Events, SseLayer};

fn main() {
    let _ = SseLayer::from_fn(|request: http::Request<()>| async {
        let path = request.uri().path().to_owned();
        Events::every(Duration::from_secs(1), move || {
            let path = path.clone();
            async move { Event::new(path) }
        })
    });
}
