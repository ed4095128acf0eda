//! A handler that takes `LastEventId` without `Option`.
// no remedy: the trait is axum's; `docs::axum` has the example

use axum::{Router, routing::get};
use tower_sse::LastEventId;

async fn resume(last: LastEventId) -> String {
    last.to_str().unwrap_or_default().to_owned()
}

fn main() {
    let _: Router = Router::new().route("/events", get(resume));
}
