//! Refusals of handlers: a layer answers and observes them as it does those of an event service.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, Response, StatusCode},
    middleware::map_response,
    routing::any,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{BoxError, Events, Refusal, SseLayer, source::Never, streams::Streams};

use crate::support::Recording;

const TEN_SECONDS: Duration = Duration::from_secs(10);

const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::PUT];

/// The ways to refuse.
#[derive(Debug, Clone, Copy)]
enum No {
    Stop,
    Later,
    Status,
    Error,
    Response,
}

const ALL: [No; 5] = [No::Stop, No::Later, No::Status, No::Error, No::Response];

impl No {
    fn refusal(self) -> Refusal {
        match self {
            Self::Stop => Refusal::stop().with_source("all is over"),
            Self::Later => Refusal::later(TEN_SECONDS).with_source("it is full"),
            Self::Status => StatusCode::FORBIDDEN.into(),
            Self::Error => BoxError::from("the database is gone").into(),
            Self::Response => Response::builder()
                .status(429)
                .header("x-limit", "5")
                .body(Bytes::from_static(b"slow down"))
                .unwrap()
                .into(),
        }
    }
}

/// The response that a client received, without the time that it is to wait.
#[derive(PartialEq, Eq)]
struct Got {
    status: StatusCode,
    headers: Vec<String>,
    body: String,
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.headers, self.body)
    }
}

/// Calls a service, and describes its response, without the headers that a server and a router add.
async fn ask<S, B>(service: S, method: &Method) -> Got
where
    S: Service<Request<Body>, Response = Response<B>, Error: fmt::Debug>,
    B: http_body::Body<Data = Bytes, Error: fmt::Debug>,
{
    let request = Request::builder().method(method).header("accept", "text/event-stream").body(Body::empty()).unwrap();
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let without_digits = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "");
    let headers = head.headers.iter().filter(|(name, _)| *name != "content-length" && *name != "vary");
    let mut headers: Vec<_> =
        headers.map(|(name, value)| without_digits(&format!("{name}: {}", value.to_str().unwrap()))).collect();
    headers.sort();
    Got { status: head.status, headers, body: without_digits(std::str::from_utf8(&body).unwrap()) }
}

fn page() -> impl Service<Request<Body>, Response = Response<String>, Error = Infallible, Future: Send> + Clone {
    service_fn(|_: Request<Body>| async { Ok(Response::new(String::from("a page"))) })
}

/// A router whose handler refuses.
fn router(no: No) -> Router {
    Router::new().route("/", any(move || async move { Err::<Events<Never>, _>(no.refusal()) }))
}

/// Returns the outcome of an event service's refusal, which all others have to equal.
async fn by_event_service(no: No, method: &Method) -> (Got, Vec<String>) {
    let recording = Recording::default();
    let layer = SseLayer::from_fn(move |_: Request<Body>| async move { Err::<Events<Never>, _>(no.refusal()) });
    let layer = layer.methods(METHODS).observer(recording.clone());
    (ask(layer.layer(page()), method).await, recording.lines())
}

#[tokio::test]
async fn handler_as_event_service_refuses_by_method() {
    for (no, method) in ALL.into_iter().flat_map(|no| METHODS.map(|method| (no, method))) {
        let recording = Recording::default();
        let layer = SseLayer::new(router(no)).methods(METHODS).observer(recording.clone());
        let got = (ask(layer.layer(page()), &method).await, recording.lines());
        assert_eq!(got, by_event_service(no, &method).await, "{no:?} {method}");
        assert_eq!(got.1.len(), 1);
    }
}

#[tokio::test]
async fn a_handler_behind_a_layer_refuses_as_an_event_service() {
    for (no, method) in ALL.into_iter().flat_map(|no| METHODS.map(|method| (no, method))) {
        let recording = Recording::default();
        let app = router(no).layer(SseLayer::decorate().observer(recording.clone()));
        let got = (ask(app, &method).await, recording.lines());
        assert_eq!(got, by_event_service(no, &method).await, "{no:?} {method}");
        // Only the answer changes if nothing is observed.
        assert_eq!(ask(router(no).layer(SseLayer::decorate()), &method).await, got.0, "{no:?} {method}");
    }
}

#[tokio::test]
async fn each_layer_observes_a_refusal_once() {
    for (no, method) in ALL.into_iter().flat_map(|no| METHODS.map(|method| (no, method))) {
        let expected = by_event_service(no, &method).await;
        let (inner, outer) = (Recording::default(), Recording::default());
        let layers = |app: Router| app.layer(SseLayer::decorate().observer(inner.clone()));
        let app = layers(router(no)).layer(SseLayer::decorate().observer(outer.clone()));
        assert_eq!(ask(app, &method).await, expected.0, "{no:?} {method}");
        assert_eq!((inner.lines(), outer.lines()), (expected.1.clone(), expected.1.clone()), "{no:?} {method}");

        // An inner event service has refused.
        let (inner, outer) = (Recording::default(), Recording::default());
        let events = SseLayer::from_fn(move |_: Request<Body>| async move { Err::<Events<Never>, _>(no.refusal()) });
        let events = events.methods(METHODS).observer(inner.clone()).layer(page());
        let service = SseLayer::decorate().observer(outer.clone()).layer(events);
        assert_eq!(ask(service, &method).await, expected.0, "{no:?} {method}");
        assert_eq!((inner.lines(), outer.lines()), (expected.1.clone(), expected.1), "{no:?} {method}");
    }
}

#[tokio::test]
async fn observer_of_several_layers_gets_a_refusal_once() {
    let recording = Recording::default();
    let shared = Arc::new(recording.clone());
    let layer = || SseLayer::decorate().observer(Arc::clone(&shared));
    ask(router(No::Later).layer(layer()).layer(layer()), &Method::POST).await;
    assert_eq!(recording.lines(), ["refused POST 503 Service Unavailable, it is full"]);

    let recording = Recording::default();
    let layer = SseLayer::decorate().observer(recording.clone());
    ask(router(No::Later).layer(layer.clone()).layer(layer), &Method::POST).await;
    assert_eq!(recording.lines(), ["refused POST 503 Service Unavailable, it is full"]);
}

#[tokio::test]
async fn headers_of_intermediate_layers_are_kept() {
    let between = map_response(async |mut response: axum::response::Response| {
        response.headers_mut().insert("access-control-allow-origin", HeaderValue::from_static("*"));
        response.headers_mut().insert("set-cookie", HeaderValue::from_static("a=b"));
        response
    });
    for method in METHODS {
        let app = router(No::Later).layer(between.clone()).layer(SseLayer::decorate());
        let mut expected = by_event_service(No::Later, &method).await.0;
        expected.headers.extend([String::from("access-control-allow-origin: *"), String::from("set-cookie: a=b")]);
        expected.headers.sort();
        assert_eq!(ask(app, &method).await, expected, "{method}");
    }
}

/// An intermediate layer that replaces a refusal takes precedence: its response reaches the client.
#[tokio::test]
async fn status_changed_by_an_intermediate_layer_is_kept() {
    let changes = |mut response: axum::response::Response| {
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    };
    let recording = Recording::default();
    let app = router(No::Later).layer(tower::util::MapResponseLayer::new(changes));
    let got = ask(app.layer(SseLayer::decorate().observer(recording.clone())), &Method::POST).await;
    assert_eq!(got.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(recording.lines().len(), 1, "the refusal is observed all the same");
}

/// A handler may state a method. An `EventSource` that received a 503 would not reconnect.
#[tokio::test]
async fn layer_adapts_a_refusal_to_the_method() {
    let refuses = |of: Method| move || std::future::ready(Err::<Events<Never>, _>(later_for(&of)));
    for (of, method) in METHODS.into_iter().flat_map(|of| METHODS.map(|method| (of.clone(), method))) {
        let app = || Router::new().route("/", any(refuses(of.clone())));
        let decorated = || app().layer(SseLayer::decorate());
        let expected = by_event_service(No::Later, &method).await.0;
        assert_eq!(ask(decorated(), &method).await, expected, "{of} {method}");
        assert_eq!(ask(decorated().layer(SseLayer::decorate()), &method).await, expected, "{of} {method}");
        let layer = SseLayer::new(app()).methods(METHODS);
        assert_eq!(ask(layer.layer(page()), &method).await, expected, "{of} {method}");
        let layer = SseLayer::from_fn(move |_: Request<Body>| refuses(of.clone())()).methods(METHODS);
        assert_eq!(ask(layer.layer(page()), &method).await, expected, "{method}");
    }
}

fn later_for(method: &Method) -> Refusal {
    Refusal::later(TEN_SECONDS).with_source("it is full").for_method(method)
}

#[tokio::test(start_paused = true)]
async fn late_status_changed_by_an_intermediate_layer_is_kept() {
    let changes = |mut response: axum::response::Response| {
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    };
    let app = Router::new().route("/", any(|| refuses_late(No::Later)));
    let layer = SseLayer::new(app.layer(tower::util::MapResponseLayer::new(changes)));
    let layer = layer.commit_after(Duration::from_secs(1)).layer(page());
    let request = Request::get("/").header("accept", "text/event-stream").body(Body::empty()).unwrap();
    let body = layer.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"event: refused\ndata: {\"status\":418}\n\n"), "{body:?}");
}

/// A late refusal as an inner layer sends it is not a change.
#[tokio::test(start_paused = true)]
async fn late_refusal_behind_two_layers_is_a_retry() {
    for method in [Method::GET, Method::POST] {
        let app = Router::new().route("/", any(|| refuses_late(No::Later))).layer(SseLayer::decorate());
        let layer = SseLayer::new(app).methods(METHODS).commit_after(Duration::from_secs(1)).layer(page());
        let request = Request::builder().method(&method).header("accept", "text/event-stream");
        let response = layer.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let mut body = response.into_body().into_data_stream();
        let mut text = Vec::new();
        while let Some(Ok(data)) = futures_util::StreamExt::next(&mut body).await {
            text.extend_from_slice(&data);
        }
        assert!(text.starts_with(b":\nretry: "), "{method}: {:?}", String::from_utf8_lossy(&text));
    }
}

async fn refuses_late(no: No) -> Result<Events<Never>, Refusal> {
    tokio::time::sleep(TEN_SECONDS).await;
    Err(no.refusal())
}

#[tokio::test(start_paused = true)]
async fn late_refusal_of_a_handler_is_observed_with_its_source() {
    for no in ALL {
        let recording = Recording::default();
        let layer = SseLayer::new(Router::new().route("/", any(move || refuses_late(no)))).observer(recording.clone());
        let got = ask(layer.commit_after(Duration::from_secs(1)).layer(page()), &Method::GET).await;
        let refusal = no.refusal();
        let source = refusal.source().map_or(String::new(), |source| format!(", {source}"));
        assert!(recording.closed()[0].starts_with("refused after 9000 ms"), "{no:?}: {:?}", recording.closed());
        assert!(recording.closed()[0].ends_with(&format!("heartbeats{source}")), "{no:?}: {:?}", recording.closed());
        let last = if let No::Later = no { ":\nretry: \n" } else { ":\nevent: refused\ndata: {\"status\":}\n\n" };
        assert_eq!((got.status, got.body.as_str()), (StatusCode::OK, last), "{no:?}");
    }
}

/// The observer has the late stream already, and receives its end with the source of the refusal.
#[tokio::test(start_paused = true)]
async fn observer_of_a_late_layer_gets_an_inner_refusal_once() {
    for no in ALL {
        let (recording, inner) = (Recording::default(), Recording::default());
        let shared = Arc::new(recording.clone());
        let app = Router::new().route("/", any(move || refuses_late(no)));
        let app = app.layer(SseLayer::decorate().observer(Arc::clone(&shared)).observer(inner.clone()));
        let layer = SseLayer::new(app).observer(shared).commit_after(Duration::from_secs(1));
        ask(layer.layer(page()), &Method::GET).await;
        let lines = recording.lines();
        let refused = lines.iter().filter(|line| line.starts_with("refused ")).count();
        assert_eq!((refused, recording.closed().len()), (0, 1), "{no:?}: {lines:?}");
        assert!(recording.closed()[0].starts_with("refused after 9000 ms"), "{no:?}: {lines:?}");
        let source = no.refusal().source().map_or(String::new(), |source| format!(", {source}"));
        assert!(recording.closed()[0].ends_with(&format!("heartbeats{source}")), "{no:?}: {lines:?}");
        assert_eq!(inner.lines().len(), 1, "{no:?}: one that is not shared gets it all the same");
    }
}

#[tokio::test]
async fn refusal_takes_no_slot() {
    let streams = Streams::builder().max_streams(1).build();
    let app = router(No::Later).layer(SseLayer::decorate().streams(&streams));
    for method in METHODS {
        let request = Request::builder().method(method).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(streams.len(), 0);
        drop(response);
    }
}

#[tokio::test]
async fn without_a_layer_a_refusal_uses_get_or_the_given_method() {
    for (method, status, has_retry_after) in [
        (None, 200, false),
        (Some(Method::GET), 200, false),
        (Some(Method::HEAD), 200, false),
        (Some(Method::POST), 503, true),
    ] {
        let refusal = || match &method {
            None => Refusal::later(TEN_SECONDS),
            Some(method) => Refusal::later(TEN_SECONDS).for_method(method),
        };
        let response = Response::from(refusal());
        assert_eq!(response.status().as_u16(), status, "{method:?}");
        assert_eq!(response.headers().contains_key("retry-after"), has_retry_after, "{method:?}");
        let response = axum::response::IntoResponse::into_response(refusal());
        assert_eq!(response.status().as_u16(), status, "{method:?}");
        assert_eq!(response.headers().contains_key("retry-after"), has_retry_after, "{method:?}");
        // Behind a layer the method of the request counts.
        let refuses = move || Err::<Events<Never>, _>(Refusal::later(TEN_SECONDS).for_method(&Method::GET));
        let app = Router::new().route("/", any(async move || refuses())).layer(SseLayer::decorate());
        assert_eq!(ask(app, &Method::POST).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
