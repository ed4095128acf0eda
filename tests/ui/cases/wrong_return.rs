//! A function of `from_fn` that returns neither events nor a response.
// remedy: Events::new(stream)

use tower_sse::SseLayer;

fn main() {
    let _ = SseLayer::from_fn(|_request: http::Request<()>| async { "tick" });
}
