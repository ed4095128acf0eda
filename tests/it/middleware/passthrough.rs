//! Foreign requests and their responses pass unchanged, and a stream holds nothing of the inner service.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_sse::{BoxError, Event, Events, Negotiate, Sse, SseLayer};

use crate::support::{Hang, Reading, Script, answers, answers_again, bytes, error, event, events, get, trailers};

/// The layers that pass a request without `Accept`.
macro_rules! for_each_layer {
    (|$layer:ident| $test:expr) => {{
        let $layer = SseLayer::new(answers_again(|| events([event("ours")])));
        $test;
        let $layer =
            SseLayer::new(answers_again(|| events([event("ours")]))).negotiate(Negotiate::Always).when(|_| false);
        $test;
        let $layer = SseLayer::decorate();
        $test;
    }};
}

#[tokio::test]
async fn the_request_arrives_as_it_was_sent() {
    let inside = service_fn(|request: Request<String>| async move {
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.uri(), "/page?last=7");
        assert_eq!(request.version(), Version::HTTP_2);
        let headers: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(headers, ["x-own", "last-event-id"]);
        assert_eq!(request.extensions().get(), Some(&7_u32));
        assert_eq!(request.extensions().len(), 1);
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    for_each_layer!(|layer| {
        let request = Request::put("/page?last=7")
            .version(Version::HTTP_2)
            .header("x-own", "1")
            .header("last-event-id", "7")
            .extension(7_u32)
            .body(String::from("body"))
            .unwrap();
        let response = layer.last_event_id_query("last").layer(inside).oneshot(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
    });
}

#[tokio::test(start_paused = true)]
async fn inner_frames_trailers_errors_and_hints_pass_unchanged() {
    for_each_layer!(|layer| {
        let steps = [bytes("a"), bytes(""), bytes("b"), trailers("x-sum"), error("reset")];
        let response = Response::builder()
            .status(StatusCode::ACCEPTED)
            .version(Version::HTTP_11)
            .header("etag", "\"1\"")
            .header("content-length", "2")
            .extension(7_u32)
            .body(Script::new(steps))
            .unwrap();
        let expected = response.headers().clone();
        let service = layer.layer(answers(response));
        let (mut head, mut body) = service.oneshot(Request::new(String::new())).await.unwrap().into_parts();
        head.headers.remove("vary");
        assert_eq!((head.status, head.version, head.headers), (StatusCode::ACCEPTED, Version::HTTP_11, expected));
        assert_eq!(head.extensions.get(), Some(&7_u32));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1), false));
        for data in ["a", "", "b"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), data);
        }
        assert!(body.frame().await.unwrap().unwrap().trailers_ref().unwrap().contains_key("x-sum"));
        // The original box, not boxed again.
        assert_eq!(body.frame().await.unwrap().unwrap_err().into_inner().to_string(), "reset");
        assert!(body.frame().await.is_none());
    });
}

/// A body with a scripted size and end.
struct Says(bool, SizeHint);

impl Body for Says {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.0
    }

    fn size_hint(&self) -> SizeHint {
        self.1
    }
}

#[tokio::test]
async fn end_and_size_of_an_inner_body_are_forwarded() {
    let mut range = SizeHint::new();
    range.set_lower(3);
    range.set_upper(5);
    for hint in [SizeHint::with_exact(0), SizeHint::new(), range] {
        for ended in [false, true] {
            for_each_layer!(|layer| {
                let service = layer.layer(answers(Response::new(Says(ended, hint))));
                let body = service.oneshot(Request::new(String::new())).await.unwrap().into_body();
                assert_eq!(body.is_end_stream(), ended);
                assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (hint.lower(), hint.upper()));
            });
        }
    }
}

#[derive(Debug, PartialEq)]
struct Broken;

#[tokio::test]
async fn layer_has_the_error_type_of_the_service() {
    for_each_layer!(|layer| {
        let inside = service_fn(|_: Request<String>| async { Err::<Response<String>, _>(Broken) });
        assert_eq!(layer.layer(inside).oneshot(Request::new(String::new())).await.unwrap_err(), Broken);
    });
}

/// A service with a scripted readiness.
#[derive(Clone)]
struct Readiness(Poll<Result<(), &'static str>>);

impl<B> Service<Request<B>> for Readiness {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.0
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(String::new())))
    }
}

#[test]
fn layer_is_ready_when_the_inner_service_is() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for readiness in [Poll::Pending, Poll::Ready(Ok(())), Poll::Ready(Err("broken"))] {
        for_each_layer!(|layer| {
            let mut service = layer.layer(Readiness(readiness));
            assert_eq!(Service::<Request<String>>::poll_ready(&mut service, &mut cx), readiness);
        });
    }
}

/// A service for one request at a time whose calls never complete.
fn narrow() -> ConcurrencyLimit<impl Service<Request<String>, Response = Response<String>, Error = Infallible> + Clone>
{
    let inside = service_fn(|_: Request<String>| std::future::pending::<Result<Response<String>, Infallible>>());
    ConcurrencyLimit::new(inside, 1)
}

fn is_ready<S: Service<Request<String>>>(service: &mut S) -> bool {
    service.poll_ready(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
}

#[tokio::test(start_paused = true)]
async fn stream_holds_no_permit_of_the_inner_service() {
    let layer = SseLayer::new(answers_again(|| Events::new(Script::<Event>::new([Hang]))));
    let mut service = layer.layer(narrow());
    let mut other = service.clone();
    assert!(is_ready(&mut service) && !is_ready(&mut other));
    let response = service.call(get());
    assert!(is_ready(&mut other), "while the event service is called");
    drop(std::mem::replace(&mut other, service.clone()));
    let mut body = Reading::new(response.await.unwrap().into_body());
    body.next().await;
    assert!(body.poll_once().is_pending());
    assert!(is_ready(&mut other), "while the stream is open");
}

#[tokio::test]
async fn refused_request_holds_no_permit_of_the_inner_service() {
    let layer = SseLayer::new(answers_again(|| events([event("a")]))).negotiate(Negotiate::Require);
    let mut service = layer.layer(narrow());
    let mut other = service.clone();
    assert!(is_ready(&mut service));
    let mut request = get();
    request.headers_mut().insert("accept", http::HeaderValue::from_static("text/html"));
    assert_eq!(service.call(request).await.unwrap().status(), StatusCode::NOT_ACCEPTABLE);
    assert!(is_ready(&mut other), "and neither is the service that it went through");
}

#[tokio::test]
async fn inner_request_holds_its_permit_unchanged() {
    let mut service = SseLayer::new(answers_again(|| events([event("a")]))).layer(narrow());
    let mut other = service.clone();
    assert!(is_ready(&mut service));
    let response = service.call(Request::new(String::new()));
    assert!(!is_ready(&mut other));
    drop(response);
    assert!(is_ready(&mut other));
}

/// An event service that is ready only when driven, and fails if it is called before.
#[derive(Clone, Default)]
struct Driven(u32);

impl Service<Request<String>> for Driven {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = Ready<Result<Response<String>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0 += 1;
        cx.waker().wake_by_ref();
        if self.0 < 3 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert_eq!(self.0, 3, "called when ready");
        ready(Ok(Response::new(String::from("ready"))))
    }
}

#[tokio::test]
async fn the_event_service_is_driven_to_readiness_for_each_request() {
    let service = SseLayer::new(Driven::default()).layer(answers(Response::new(String::new())));
    for _ in 0..2 {
        let response = service.clone().oneshot(get()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ready");
    }
}

#[tokio::test]
async fn event_service_that_fails_readiness_refuses() {
    let failing = Readiness(Poll::Ready(Err("broken")));
    let events = tower::ServiceBuilder::new().map_err(BoxError::from).service(failing);
    let response = SseLayer::new(events).layer(answers(Response::new(String::new()))).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_service_exposes_its_inner_service() {
    let events = answers_again(|| events([event("ours")]));
    let inner = answers_again(|| Response::new(String::from("theirs")));
    let mut service = Sse::layer(events.clone()).layer(ConcurrencyLimit::new(inner.clone(), 1));
    let _: &ConcurrencyLimit<_> = service.get_ref();
    assert!(service.get_mut().ready().await.is_ok());
    let _: ConcurrencyLimit<_> = service.into_inner();

    let service = Sse::new(inner, events);
    let stream = service.clone().oneshot(get()).await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let page = service.oneshot(Request::new(String::new())).await.unwrap();
    assert_eq!(page.into_body().collect().await.unwrap().to_bytes(), "theirs");
}
