//! All entry points of a stream.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_sse::{
    BodyError, Events, Negotiate, Refusal, SseLayer,
    access::AccessCheck,
    streams::{OnDrain, Streams},
};

use super::{Inside, SECOND, ask_for};
use crate::support::{Reading, Recording, ask, get};

pub(super) type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;
pub(super) type AnyService = BoxCloneService<Request<String>, Response<AnyBody>, Refusal>;

/// The settings that a layer has for its streams.
#[derive(Clone, Default)]
pub(super) struct Asks {
    pub(super) streams: Option<Streams>,
    pub(super) key: Option<&'static str>,
    pub(super) recording: Option<Recording>,
    pub(super) access: Option<AccessCheck>,
    pub(super) lifetime: Option<Duration>,
    pub(super) on_drain: Option<OnDrain>,
}

impl Asks {
    pub(super) fn of(streams: &Streams) -> Self {
        Self { streams: Some(streams.clone()), ..Self::default() }
    }

    pub(super) fn recording(self, recording: &Recording) -> Self {
        Self { recording: Some(recording.clone()), ..self }
    }

    pub(super) fn by<E>(&self, layer: SseLayer<E>) -> SseLayer<E> {
        let mut layer = layer.methods(ALL);
        if let Some(streams) = &self.streams {
            layer = layer.streams(streams);
        }
        if let Some(key) = self.key {
            layer = layer.stream_key(move |_| Some(key.into()));
        }
        if let Some(recording) = &self.recording {
            layer = layer.observer(recording.clone());
        }
        if let Some(access) = &self.access {
            layer = layer.access(access.clone());
        }
        if let Some(lifetime) = self.lifetime {
            layer = layer.lifetime(lifetime);
        }
        if let Some(on_drain) = self.on_drain {
            layer = layer.on_drain(on_drain);
        }
        layer
    }
}

/// An entry point, and the number of runs of what answers.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) service: AnyService,
    pub(super) runs: Arc<AtomicUsize>,
    pub(super) is_decorated: bool,
}

impl Way {
    pub(super) fn runs(&self) -> usize {
        self.runs.load(SeqCst)
    }

    pub(super) async fn open(&self, request: Request<String>) -> Reading<AnyBody> {
        Reading::new(ask_for(&self.service, request).await.into_body())
    }
}

pub(super) fn boxed<S, B>(service: S) -> AnyService
where
    S: Service<Request<String>, Response = Response<B>, Error = Refusal, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    BoxCloneService::new(service.map_response(|response| response.map(|body| Box::pin(body) as AnyBody)))
}

/// A service that counts its runs, and answers after so long.
pub(super) fn slow<T: Send + 'static>(
    runs: Arc<AtomicUsize>,
    after: Duration,
    make: impl Fn() -> T + Clone + Send + 'static,
) -> impl Service<Request<String>, Response = T, Error = Refusal, Future: Send> + Clone + Send + 'static {
    service_fn(move |_: Request<String>| {
        runs.fetch_add(1, SeqCst);
        let make = make.clone();
        async move {
            sleep(after).await;
            Ok(make())
        }
    })
}

/// All entry points to a stream that this closure creates, after so long, through a layer with these settings.
pub(super) fn ways<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> Vec<Way>
where
    S: tower_sse::Source + Send + 'static,
{
    [by_event_services(asks, after, make), for_all_requests(asks, after, make), by_decorate(asks, after, make)].concat()
}

fn way(name: &'static str, is_decorated: bool, service: impl FnOnce(Arc<AtomicUsize>) -> AnyService) -> Way {
    let runs = Arc::default();
    Way { name, service: service(Arc::clone(&runs)), runs, is_decorated }
}

/// By the event service of the layer.
pub(super) fn by_event_services<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> Vec<Way>
where
    S: tower_sse::Source + Send + 'static,
{
    let events = |runs| slow(runs, after, make);
    let whole = |runs| slow(runs, after, move || Response::from(make()));
    vec![
        way("an event service", false, |runs| boxed(asks.by(SseLayer::new(events(runs))).layer(Inside))),
        way("a response of an event service", false, |runs| boxed(asks.by(SseLayer::new(whole(runs))).layer(Inside))),
        way("an event service that may be late", false, |runs| {
            boxed(asks.by(SseLayer::new(events(runs)).commit_after(2 * SECOND)).layer(Inside))
        }),
        way("a response that may be late", false, |runs| {
            boxed(asks.by(SseLayer::new(whole(runs)).commit_after(2 * SECOND)).layer(Inside))
        }),
        way("a layer that may be late around another one", false, |runs| {
            let dressed = SseLayer::decorate().layer(whole(runs));
            boxed(asks.by(SseLayer::new(dressed).commit_after(2 * SECOND)).layer(Inside))
        }),
        way("a layer whose event service wears a layer", false, |runs| {
            let dressed = SseLayer::new(events(runs)).methods(ALL).layer(Inside);
            boxed(asks.by(SseLayer::new(dressed)).layer(Inside))
        }),
    ]
}

/// Through an event service that receives each request, whatever it accepts.
pub(super) fn for_all_requests<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> Vec<Way>
where
    S: tower_sse::Source + Send + 'static,
{
    let events = |runs| SseLayer::new(slow(runs, after, make)).negotiate(Negotiate::Always);
    let whole = |runs| SseLayer::new(slow(runs, after, move || Response::from(make()))).negotiate(Negotiate::Always);
    let theirs = |runs| SseLayer::new(slow(runs, after, move || theirs(make()))).negotiate(Negotiate::Always);
    vec![
        way("events for all requests", false, |runs| boxed(asks.by(events(runs)).layer(Inside))),
        way("a response for all requests", false, |runs| boxed(asks.by(whole(runs)).layer(Inside))),
        way("somebody else's response for all requests", false, |runs| boxed(asks.by(theirs(runs)).layer(Inside))),
        way("events for all requests that may be late", false, |runs| {
            boxed(asks.by(events(runs).commit_after(2 * SECOND)).layer(Inside))
        }),
        way("a response for all requests that may be late", false, |runs| {
            boxed(asks.by(whole(runs).commit_after(2 * SECOND)).layer(Inside))
        }),
    ]
}

/// Through the inner service.
fn by_decorate<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> Vec<Way>
where
    S: tower_sse::Source + Send + 'static,
{
    let whole = |runs| slow(runs, after, move || Response::from(make()));
    let bare = || SseLayer::decorate();
    vec![
        way("somebody else's response", true, |runs| {
            boxed(asks.by(bare()).layer(slow(runs, after, move || theirs(make()))))
        }),
        way("a handler under a layer", true, |runs| boxed(asks.by(bare()).layer(whole(runs)))),
        way("a layer around an event service", true, |runs| {
            let events = slow(runs, after, make);
            boxed(asks.by(bare()).layer(SseLayer::new(events).methods(ALL).layer(Inside)))
        }),
        way("a layer around a layer", true, |runs| boxed(asks.by(bare()).layer(bare().layer(whole(runs))))),
        way("a response in a coding", true, |runs| {
            boxed(asks.by(bare()).layer(slow(runs, after, move || coded(theirs(make())))))
        }),
        way("a handler whose response is compressed on the way", true, |runs| {
            let answers = slow(runs, after, move || coded(Response::from(make()).map(Theirs)));
            boxed(asks.by(bare()).layer(answers))
        }),
    ]
}

pub(super) type Make = fn() -> Request<String>;

/// The same, each requested as by an `EventSource`, and by POST.
pub(super) fn both<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> impl Iterator<Item = (Make, Way)>
where
    S: tower_sse::Source + Send + 'static,
{
    let post: Make = || ask(Method::POST);
    let by = move |request: Make, ways: Vec<Way>| ways.into_iter().map(move |way| (request, way));
    by(get, ways(asks, after, make)).chain(by(post, ways(asks, after, make)))
}

pub(super) const ALL: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// A response that no layer recognises as this crate's.
fn theirs<S: tower_sse::Source>(events: Events<S>) -> Response<impl Body<Data = Bytes, Error = BodyError>> {
    let mut response = Response::from(events).map(Theirs);
    response.extensions_mut().clear();
    response
}

/// The same in a coding.
fn coded<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert("content-encoding", http::HeaderValue::from_static("gzip"));
    response
}

struct Theirs<B>(B);

impl<B: Body + Unpin> Body for Theirs<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
