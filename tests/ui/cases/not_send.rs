//! A stream that holds an `Rc`, on a router whose threads share it.
// remedy: cannot be sent between threads safely
// longer: the compiler lists each type from the body of the response down to the `Rc`; the closure that holds it comes third

use std::rc::Rc;

use axum::{Router, routing::get};
use futures_util::{StreamExt, stream};
use tower_sse::{Event, Events, SseLayer};

fn main() {
    let layer = SseLayer::from_fn(|_request| async {
        let name = Rc::new("tick");
        Events::new(stream::iter([1, 2]).map(move |_| Event::new(*name)))
    });
    let _: Router = Router::new().route("/", get("the page").layer(layer));
}
