//! The registry of open streams: counts, limits, ends, drain, watchdog.

mod admission;
mod detach;
mod drain;
#[cfg(feature = "axum")]
mod drain_decorated;
mod drain_with_server;
mod end_key;
mod entry_points;
mod in_flight;
mod late_layers;
mod lifecycle;
mod lifetime;
mod limits;
mod panics;
mod reconnect_spread;
mod shared_slots;
mod waiting_for_slot;
mod waiting_in_layers;
mod watchdog;

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service, ServiceExt};
use tower_sse::{BodyError, Event, Events, Refusal, Sse, SseLayer, source::StreamSource, streams::Streams};

use crate::support::{Give, Hang, Reading, Recording, Script, get};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Returns a stream of one event that stays open.
pub(crate) fn open_end() -> Events<OpenEnd> {
    Events::new(Script::new([Give(Event::new("a")), Hang]))
}

pub(crate) type OpenEnd = StreamSource<Script<Event>>;

/// An event service that opens such streams.
#[derive(Clone)]
pub(crate) struct Endless;

impl Service<Request<String>> for Endless {
    type Response = Events<OpenEnd>;
    type Error = Refusal;
    type Future = Ready<Result<Events<OpenEnd>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(open_end()))
    }
}

/// A layer around it.
pub(crate) fn endless(streams: &Streams, recording: &Recording) -> SseLayer<Endless> {
    SseLayer::new(Endless).streams(streams).observer(recording.clone())
}

/// A layer's service, which opens any number of streams.
pub(crate) fn serve<E: Clone>(layer: &SseLayer<E>) -> Sse<Inside, E> {
    layer.layer(Inside)
}

/// A page.
#[derive(Clone)]
pub(crate) struct Inside;

impl Service<Request<String>> for Inside {
    type Response = Response<String>;
    type Error = Refusal;
    type Future = Ready<Result<Response<String>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::new(String::from("inside"))))
    }
}

/// Requests a stream of the service.
pub(crate) async fn ask_for<S, B>(service: &S, request: Request<String>) -> Response<B>
where
    S: Service<Request<String>, Response = Response<B>, Error = Refusal> + Clone,
{
    service.clone().oneshot(request).await.unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Opens a stream.
pub(crate) async fn read<S, B>(service: &S) -> Reading<B>
where
    S: Service<Request<String>, Response = Response<B>, Error = Refusal> + Clone,
    B: Body<Data = Bytes, Error = BodyError>,
{
    Reading::new(ask_for(service, get()).await.into_body())
}

/// Returns the milliseconds of the `retry:` in a frame.
pub(crate) fn retry(frame: &str) -> Option<u64> {
    frame.strip_prefix("retry: ")?.strip_suffix('\n')?.parse().ok()
}
