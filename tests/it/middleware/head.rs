//! The head of a stream, and the precedence of settings.

use http::{HeaderName, HeaderValue, header};
use tower_sse::SseLayer;

use crate::support::{answers, event, events, get, respond};

/// Returns the headers of the head, sorted.
async fn head(own: &[(HeaderName, &'static str)]) -> Vec<(String, String)> {
    let events = own.iter().fold(events([event("a")]), |events, (name, value)| {
        events.append_header(name.clone(), HeaderValue::from_static(value))
    });
    let response = respond(SseLayer::new(answers(events)), get()).await;
    let headers = response.headers().iter();
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort_unstable();
    headers
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

#[tokio::test]
async fn head_keeps_caches_and_proxies_from_buffering() {
    let expected = [
        ("cache-control", "no-cache, no-transform"),
        ("content-type", "text/event-stream"),
        ("vary", "accept"),
        ("x-accel-buffering", "no"),
    ];
    assert_eq!(head(&[]).await, pairs(&expected));
}

#[tokio::test]
async fn headers_of_the_event_service_take_precedence() {
    let own = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (HeaderName::from_static("x-accel-buffering"), "yes"),
        (header::SET_COOKIE, "a=1"),
        (header::SET_COOKIE, "b=2"),
    ];
    let expected = [
        ("cache-control", "no-store"),
        ("content-type", "text/event-stream; charset=utf-8"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("vary", "accept"),
        ("x-accel-buffering", "yes"),
    ];
    assert_eq!(head(&own).await, pairs(&expected));
}

#[tokio::test]
async fn connection_headers_are_removed() {
    let own = [
        (header::CONNECTION, "keep-alive"),
        (HeaderName::from_static("keep-alive"), "timeout=5"),
        (header::CONTENT_LENGTH, "5"),
        (header::TRANSFER_ENCODING, "chunked"),
    ];
    assert_eq!(head(&own).await, head(&[]).await);
}
