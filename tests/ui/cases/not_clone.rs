//! A closure of `from_fn` that owns a receiver, of which there is only one.
// no remedy: the bound is `Clone`, whose message is the compiler's; it names the captured value

use std::sync::mpsc::Receiver;

use futures_util::stream;
use tower_sse::{Event, Events, SseLayer};

fn layer(prices: Receiver<u32>) {
    let _ = SseLayer::from_fn(move |_request: http::Request<()>| {
        let price = prices.try_recv().unwrap_or_default();
        async move { Events::new(stream::iter([Event::new(price.to_string())])) }
    });
}

fn main() {
    let _ = layer;
}
