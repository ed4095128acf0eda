//! The remedies of the mistakes in `cases`, which compile.

use std::{
    sync::{Arc, Mutex, mpsc::Receiver},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use futures_util::{StreamExt, stream};
use http::Request;
use tower::{ServiceExt, service_fn};
use tower_sse::{BoxEvents, Event, Events, LastEventId, Refusal, Source, SseLayer};

async fn prices() -> anyhow::Result<Events<impl Source>> {
    Ok(Events::every(Duration::from_secs(1), || async { Event::new("tick") }))
}

async fn question_mark(_request: Request<()>) -> Result<Events<impl Source>, Refusal> {
    let port: u16 = "80".parse().map_err(Refusal::internal)?;
    Ok(Events::new(stream::iter([Event::new(port.to_string())])))
}

fn two_branches(is_live: bool) -> BoxEvents {
    if is_live {
        Events::every(Duration::from_secs(1), || async { Event::new("tick") }).boxed()
    } else {
        Events::new(stream::iter([Event::new("once")])).boxed()
    }
}

fn borrowed_request() {
    let _ = SseLayer::from_fn(|request: Request<()>| async move {
        let path = request.uri().path().to_owned();
        Events::every(Duration::from_secs(1), move || {
            let path = path.clone();
            async move { Event::new(path) }
        })
    });
}

fn not_send() -> Router {
    let layer = SseLayer::from_fn(|_request| async {
        let name = Arc::new("tick");
        Events::new(stream::iter([1, 2]).map(move |_| Event::new(*name)))
    });
    Router::new().route("/", get("the page").layer(layer))
}

fn service_error() -> Router {
    let events = service_fn(|_request: Request<Body>| prices()).map_err(Refusal::internal);
    Router::new().route("/", get("the page").layer(SseLayer::new(events)))
}

fn not_clone(prices: Receiver<u32>) {
    let prices = Arc::new(Mutex::new(prices));
    let _ = SseLayer::from_fn(move |_request: Request<()>| {
        let price = prices.lock().ok().and_then(|prices| prices.try_recv().ok()).unwrap_or_default();
        async move { Events::new(stream::iter([Event::new(price.to_string())])) }
    });
}

async fn last_event_id(last: Option<LastEventId>) -> String {
    last.as_ref().and_then(LastEventId::to_str).unwrap_or_default().to_owned()
}

fn main() {
    let _ = SseLayer::from_fn(|_request: Request<()>| async { Events::new(stream::iter(["tick"]).map(Event::new)) });
    let _ = SseLayer::from_fn(|_request: Request<()>| async { prices().await.map_err(Refusal::internal) });
    let _ = SseLayer::from_fn(question_mark);
    let _: Router = Router::new().route("/events", get(last_event_id));
    let _ = (two_branches, borrowed_request, not_send, service_error, not_clone);
}
