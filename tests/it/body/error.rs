//! The error of a body: a `std::error::Error`, which frameworks require, with the original as its source.

use std::{convert::Infallible, error::Error, fmt, future::ready, io};

use bytes::Bytes;
use futures_util::stream::iter;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyDataStream, BodyExt};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{BodyError, BoxError, EarlyEnd, Event, Events, SseLayer};

use crate::support::{Give, Recording, Script, answers, bytes, get, respond, stream};

/// Asserts that a response's body fits salvo's bridge for tower services.
fn assert_fits_salvo<B>(_: &B)
where
    B: Body + Send + Sync + 'static,
    B::Data: Into<Bytes> + Send + fmt::Debug + 'static,
    B::Error: Error + Send + Sync + 'static,
{
}

/// Asserts that a body fits `poem::Body::from_bytes_stream`, behind the usual conversion of an error to an `io::Error`.
fn assert_fits_poem<B>(body: B)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn from_bytes_stream<O, E>(_: impl futures_core::Stream<Item = Result<O, E>> + Send + 'static)
    where
        O: Into<Bytes> + 'static,
        E: Into<io::Error> + 'static,
    {
    }
    from_bytes_stream(BodyDataStream::new(body.map_err(io::Error::other)));
}

/// Asserts that a body fits `HttpResponse::streaming` of actix. Its error is a box that may not be `Send`.
fn assert_fits_actix<B>(body: B)
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error>>,
{
    fn streaming<E>(_: impl futures_core::Stream<Item = Result<Bytes, E>> + 'static)
    where
        E: Into<Box<dyn Error>> + 'static,
    {
    }
    streaming(BodyDataStream::new(body));
}

/// A stream whose parts are `Send` and `Sync`.
async fn body() -> impl Body<Data = Bytes, Error = BodyError> + Send + Sync + 'static {
    let layer = SseLayer::from_fn(|_: Request<String>| async { Events::new(iter([Event::new("a")])) });
    let inside = service_fn(|_: Request<String>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    layer.layer(inside).oneshot(get()).await.unwrap().into_body()
}

#[tokio::test]
async fn body_is_accepted_by_frameworks_that_require_an_error() {
    assert_fits_salvo(&body().await);
    assert_fits_poem(body().await);
    assert_fits_actix(body().await);
}

type Upstream = Script<Result<Frame<Bytes>, BoxError>>;

/// A body with an event and then an error.
fn broken(kind: &'static str) -> Response<Upstream> {
    let reset = Give(Err(io::Error::from(io::ErrorKind::ConnectionReset).into()));
    let mut response = stream([bytes("data: a\n\n"), reset]);
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    response
}

/// Returns the error of a body, which has to be its last item.
async fn error_of(response: Response<impl Body<Data = Bytes, Error = BodyError>>) -> BodyError {
    let mut body = std::pin::pin!(response.into_body());
    loop {
        match body.frame().await.expect("an error comes") {
            Ok(_) => {}
            Err(error) => {
                assert!(body.frame().await.is_none());
                return error;
            }
        }
    }
}

fn assert_is_reset(error: BodyError) {
    let kind = |error: Option<&io::Error>| error.map(io::Error::kind);
    assert_eq!(kind(error.downcast_ref()), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(kind(error.source().and_then(<dyn Error>::downcast_ref)), Some(io::ErrorKind::ConnectionReset));
    assert!(error.downcast_ref::<std::fmt::Error>().is_none());
    assert_eq!(error.into_inner().downcast::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn error_of_each_kind_of_body_downcasts_to_the_original() {
    let abort = || SseLayer::decorate().early_end(EarlyEnd::Abort);
    let decorated = abort().layer(answers(broken("text/event-stream")));
    assert_is_reset(error_of(decorated.oneshot(get()).await.unwrap()).await);
    let passed = abort().layer(answers(broken("text/plain")));
    assert_is_reset(error_of(passed.oneshot(get()).await.unwrap()).await);
    for kind in ["text/event-stream", "text/plain"] {
        let layer = SseLayer::new(answers(broken(kind))).early_end(EarlyEnd::Abort);
        assert_is_reset(error_of(respond(layer, get()).await).await);
    }
    let twice = abort().layer(abort().layer(answers(broken("text/plain"))));
    assert_is_reset(error_of(twice.oneshot(get()).await.unwrap()).await);
}

#[tokio::test]
async fn observer_receives_the_error_without_the_wrapper() {
    let recording = Recording::default();
    let inner = SseLayer::decorate().early_end(EarlyEnd::Abort).layer(answers(broken("text/event-stream")));
    // The marker that keeps a second layer from decorating the stream is lost on the way.
    let inner = inner.map_response(|mut response: Response<_>| {
        response.extensions_mut().clear();
        response
    });
    let outer = SseLayer::decorate().early_end(EarlyEnd::Abort).observer(recording.clone()).layer(inner);
    assert_is_reset(error_of(outer.oneshot(get()).await.unwrap()).await);
    assert!(recording.closed()[0].ends_with("connection reset"), "{:?}", recording.closed());
}
