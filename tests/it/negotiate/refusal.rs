//! Refusals for each method, which make the client do what is intended.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::service_fn;
use tower_sse::{BoxError, Event, Events, Refusal, SseLayer};

use crate::support::{ask, respond};

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Answers a request of this method with the refusal that the closure returns.
async fn refused(
    method: Method,
    refuse: impl Fn() -> Refusal + Clone + Send + 'static,
) -> (http::response::Parts, String) {
    let service = service_fn(move |_: Request<String>| std::future::ready(Err::<Response<String>, _>(refuse())));
    let layer = SseLayer::new(service).methods([Method::GET, Method::HEAD, Method::POST]);
    let (parts, body) = respond(layer, ask(method)).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn stop_is_204_for_all_methods() {
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let (head, body) = refused(method, Refusal::stop).await;
        assert_eq!((head.status, body.as_str()), (StatusCode::NO_CONTENT, ""));
        assert!(!head.headers.contains_key("content-type"));
        assert_eq!(head.headers["vary"], "accept");
    }
}

#[tokio::test]
async fn later_for_get_is_an_event_stream_that_ends() {
    let mut seen = Vec::new();
    for _ in 0..20 {
        let (head, body) = refused(Method::GET, || Refusal::later(TEN_SECONDS)).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["content-type"], "text/event-stream");
        assert_eq!(head.headers["cache-control"], "no-cache, no-transform");
        assert_eq!(head.headers["x-accel-buffering"], "no");
        let retry: u64 = body.strip_prefix(":\nretry: ").unwrap().strip_suffix('\n').unwrap().parse().unwrap();
        assert!((10_000..=15_000).contains(&retry));
        seen.push(retry);
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 10, "clients are spread: {seen:?}");
}

#[tokio::test]
async fn later_for_head_is_the_head_of_get() {
    let (head, body) = refused(Method::HEAD, || Refusal::later(TEN_SECONDS)).await;
    assert_eq!((head.status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.headers["content-type"], "text/event-stream");
}

#[tokio::test]
async fn later_for_other_methods_is_503_with_retry_after() {
    for _ in 0..20 {
        let (head, body) = refused(Method::POST, || Refusal::later(Duration::from_millis(9_001))).await;
        assert_eq!((head.status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, ""));
        let seconds: u64 = head.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((10..=14).contains(&seconds), "never sooner than set: {seconds}");
        assert!(!head.headers.contains_key("content-type"));
    }
}

#[tokio::test]
async fn later_of_any_duration_is_digits() {
    let (_, body) = refused(Method::GET, || Refusal::later(Duration::MAX)).await;
    assert_eq!(body, ":\nretry: 2147483647\n");
    let (_, body) = refused(Method::GET, || Refusal::later(Duration::ZERO)).await;
    assert_eq!(body, ":\nretry: 0\n");
    let (head, _) = refused(Method::POST, || Refusal::later(Duration::MAX)).await;
    assert_eq!(head.headers["retry-after"], "2147483");
}

#[tokio::test]
async fn status_has_no_body() {
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let (head, body) = refused(method, || StatusCode::FORBIDDEN.into()).await;
        assert_eq!((head.status, body.as_str()), (StatusCode::FORBIDDEN, ""));
        assert_eq!(head.headers.iter().count(), 1, "only `vary`: {:?}", head.headers);
    }
}

#[tokio::test]
async fn response_is_unchanged_but_has_no_body_for_head() {
    let response = || {
        let body = Bytes::from_static(b"{\"error\":\"full\"}");
        Refusal::from(
            Response::builder().status(429).header("x-limit", "5").header("vary", "origin").body(body).unwrap(),
        )
    };
    for (method, expected) in [(Method::GET, "{\"error\":\"full\"}"), (Method::HEAD, "")] {
        let (head, body) = refused(method, response).await;
        assert_eq!((head.status.as_u16(), body.as_str()), (429, expected));
        assert_eq!(head.headers["x-limit"], "5");
        let vary: Vec<_> = head.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept"]);
    }
}

#[tokio::test]
async fn error_text_is_not_sent() {
    let (head, body) = refused(Method::GET, || BoxError::from("the password is swordfish").into()).await;
    assert_eq!((head.status, body.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, ""));
    assert!(!format!("{head:?}").contains("swordfish"));
}

#[tokio::test]
async fn error_of_an_async_function_is_a_refusal() {
    let closed = |_: Request<String>| async { Err::<Events<tower_sse::source::Never>, _>(StatusCode::GONE) };
    assert_eq!(respond(SseLayer::from_fn(closed), ask(Method::GET)).await.status(), StatusCode::GONE);

    let open = |_: Request<String>| async { Ok::<_, Infallible>(Events::new(futures_util::stream::empty::<Event>())) };
    assert_eq!(respond(SseLayer::from_fn(open), ask(Method::GET)).await.status(), StatusCode::OK);
}

/// A stand-in for `anyhow::Error`: it converts into a boxed error, and does not implement `Error`.
struct Opaque;

impl From<Opaque> for BoxError {
    fn from(_: Opaque) -> Self {
        "opaque".into()
    }
}

#[tokio::test]
async fn internal_converts_every_boxed_error() {
    let refusals = [
        fail("text").map_err(Refusal::internal),
        fail(String::from("text")).map_err(Refusal::internal),
        fail(std::io::Error::other("text")).map_err(Refusal::internal),
        fail(BoxError::from("text")).map_err(Refusal::internal),
        fail(Opaque).map_err(Refusal::internal),
    ];
    for refusal in refusals.map(Result::unwrap_err) {
        assert_eq!(refusal.status_for(&Method::GET), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(["text", "opaque"].contains(&&*refusal.source().unwrap().to_string()));
    }
    let (head, body) = refused(Method::GET, || Refusal::internal("swordfish")).await;
    assert_eq!((head.status, &*body), (StatusCode::INTERNAL_SERVER_ERROR, ""));
}

#[test]
fn refusal_shows_its_source_and_status() {
    let refusal = Refusal::later(TEN_SECONDS).with_source("full");
    assert_eq!(refusal.source().unwrap().to_string(), "full");
    assert_eq!(format!("{refusal:?}"), "Refusal { later: 10s, source: Some(\"full\") }");
    assert_eq!(refusal.status_for(&Method::GET), StatusCode::OK);
    assert_eq!(refusal.status_for(&Method::HEAD), StatusCode::OK);
    assert_eq!(refusal.status_for(&Method::POST), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(Refusal::stop().status_for(&Method::POST), StatusCode::NO_CONTENT);
}

fn fail<E>(error: E) -> Result<(), E> {
    Err(error)
}
