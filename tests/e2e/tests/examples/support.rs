//! A client for the tests of the examples.

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE, request::Builder};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tower_sse::decode::{EventReader, Item, Message};
pub(crate) use tower_sse_e2e::client::within;

pub(crate) fn get(url: impl AsRef<str>) -> Builder {
    Request::get(url.as_ref())
}

/// Sends a request as an `EventSource` does.
pub(crate) fn get_events(url: impl AsRef<str>) -> Builder {
    get(url).header("accept", "text/event-stream").header("cache-control", "no-store")
}

/// Sends a request as a browser does for a page.
pub(crate) fn get_page(url: impl AsRef<str>) -> Builder {
    get(url).header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
}

pub(crate) async fn send(request: Builder) -> Response<Incoming> {
    send_body(request, "").await
}

pub(crate) async fn post_json(url: impl AsRef<str>, json: &Value) -> Response<Incoming> {
    let request = Request::builder().method(Method::POST).uri(url.as_ref());
    send_body(request.header("content-type", "application/json"), &json.to_string()).await
}

/// Each request has a client, and so a connection, of its own.
pub(crate) async fn send_body(request: Builder, body: &str) -> Response<Incoming> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = request.body(Full::from(body.to_owned())).unwrap();
    within(client.request(request)).await.unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = within(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

pub(crate) async fn json(response: Response<Incoming>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// Asserts that the response is a page.
pub(crate) async fn assert_page(url: impl AsRef<str>, title: &str) {
    let response = send(get_page(url)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let page = text(response).await;
    assert!(page.contains(&format!("<title>{title}</title>")), "{page}");
}

/// The stream of a response.
pub(crate) fn events(response: Response<Incoming>) -> EventReader<Incoming> {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    EventReader::new(response.into_body())
}

/// Returns the next event; skips comments and `retry:`. Returns `None` if the stream has ended cleanly.
pub(crate) async fn next(reader: &mut EventReader<Incoming>) -> Option<Message> {
    loop {
        match within(reader.next()).await?.unwrap() {
            Item::Event(event) => return Some(event),
            _ => continue,
        }
    }
}

pub(crate) async fn next_json(reader: &mut EventReader<Incoming>) -> Value {
    serde_json::from_str(next(reader).await.expect("the stream continues").data()).unwrap()
}
