//! Other layers of tower and tower-http, outside and inside of the layer, and around `decorate`, as `docs/stacking.md` describes.

mod compression;
mod cors;
mod limits;
mod panics;
mod servers;
mod timeouts;
mod trace;

use axum::{
    Router,
    body::Body,
    response::{Html, IntoResponse},
    routing::get,
};
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_sse::{Event, Events, SseLayer, middleware::FromFn, source::StreamSource};

type Answer = BoxFuture<'static, Events<StreamSource<BoxStream<'static, Event>>>>;
type EventLayer<B = Body> = SseLayer<FromFn<fn(Request<B>) -> Answer>>;

/// An event service: one event at once, and then nothing.
fn events<B>() -> EventLayer<B> {
    answering(|_| answer(stream::iter([Event::new("1")]).chain(stream::pending())))
}

fn answering<B>(answer: fn(Request<B>) -> Answer) -> EventLayer<B> {
    SseLayer::from_fn(answer)
}

/// An answer at once.
fn answer(events: impl stream::Stream<Item = Event> + Send + 'static) -> Answer {
    std::future::ready(Events::new(events.boxed())).boxed()
}

/// The outcome of such a stream once its client has read it.
const ONE_EVENT: &str = ":\ndata: 1\n\n";

/// A page, and an event stream without this crate.
fn site() -> Router {
    let foreign = || async {
        let chunks = stream::iter([Ok::<_, std::convert::Infallible>("data: 1\n\n")]).chain(stream::pending());
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(chunks)).into_response()
    };
    Router::new().route("/", get(|| async { Html(PAGE) })).route("/foreign", get(foreign))
}

/// Long enough to be compressed.
const PAGE: &str = "a page of more than thirty-two bytes, so that compressing it is worth it";

/// A request for events, at the page's address.
fn for_events() -> Request<Body> {
    request("/", "text/event-stream")
}

fn for_foreign() -> Request<Body> {
    request("/foreign", "text/event-stream")
}

fn for_page() -> Request<Body> {
    request("/", "text/html")
}

fn request(path: &str, accept: &str) -> Request<Body> {
    let request = Request::get(path).header(header::ACCEPT, accept).header(header::ACCEPT_ENCODING, "gzip");
    request.body(Body::empty()).expect("a request")
}

async fn ask(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.expect("the service is infallible")
}

/// Returns all ready data of a body.
fn ready_text(body: &mut Body) -> String {
    let mut text = String::new();
    while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
        let data = frame.into_data().expect("data");
        text.push_str(std::str::from_utf8(&data).expect("text"));
    }
    text
}
