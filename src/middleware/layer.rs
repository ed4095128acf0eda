//! The layer, and all that can be set on it.

use crate::observe::dispatch;
use std::{fmt, future::Future, sync::Arc, time::Duration};

use http::{Method, Request};
use tower_layer::Layer;

use super::{
    service::{FromFn, NoEvents, Sse},
    settings::{Commit, LayerSettings},
};
use crate::{
    access::AccessCheck,
    answer::IntoAnswer,
    event::{Event, encode::LastRetry},
    negotiate::{accept::Negotiate, request_head::RequestHead},
    observe::Observer,
    settings::{Comments, EarlyEnd, OnDrain, StreamSettings, heartbeat::Heartbeat},
    streams::handle::Streams,
};

/// Puts an event service beside a service: requests for an event stream go to it, all others inside.
///
/// Three ways to make one:
///
/// - [`from_fn`](Self::from_fn): from an async function, the usual way;
/// - [`new`](Self::new): from any `Service<http::Request<B>>`, a router for one;
/// - [`decorate`](SseLayer::decorate): without an event service, for event streams that the service inside answers.
///
/// The setters take what they set by value and give the layer back; each says its default. The reasons for the defaults are
/// in [`docs::defaults`](crate::docs::defaults).
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use axum::{Router, routing::get};
/// use tower_sse::{Event, Events, SseLayer};
///
/// let layer = SseLayer::from_fn(|_request| async {
///     Events::every(Duration::from_secs(1), || async { Event::new("tick") })
/// })
/// .heartbeat(Duration::from_secs(10));
///
/// // For this route alone: the stream for requests that ask for events, the page for all others.
/// let app: Router = Router::new().route("/", get("the page").layer(layer));
/// ```
///
/// Around a whole router the layer answers for each path, and stands outside of the layers that the router has by then, of
/// authentication for one: put it around one route, or say by [`when`](Self::only) which requests it is for.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct SseLayer<E> {
    events: E,
    pub(crate) settings: Arc<LayerSettings>,
}

impl<E> SseLayer<E> {
    /// A layer whose events come from this service.
    ///
    /// It may answer [`Events`](crate::Events), an [`http::Response`] or a [`Reply`](crate::Reply); its error is made a
    /// [`Refusal`](crate::Refusal). It is cloned for each request, driven to readiness and called within the response's
    /// future. What it answers to a HEAD request is dropped but for the head.
    pub fn new(events: E) -> Self {
        Self { events, settings: Arc::new(LayerSettings::new(false)) }
    }

    /// What is sent while there is no event. Default: a comment every 15 s. A [`Duration`] will do.
    pub fn heartbeat(self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.set_stream(|stream| stream.heartbeat(heartbeat))
    }

    /// How long clients wait before they reconnect, sent with the head. Default: unset, so it is as the client has it.
    pub fn retry(self, retry: Duration) -> Self {
        self.set_stream(|stream| stream.retry(retry))
    }

    /// Sets the last event of a stream that fails or panics, or is cut by the deadline of a drain. Defaults to none.
    pub fn on_failure(self, last: Event) -> Self {
        self.set_stream(|stream| stream.on_failure(last))
    }

    /// How `Accept` chooses. Default: [`Negotiate::Listed`]. Has no effect when [decorating](SseLayer::decorate).
    pub fn negotiate(self, negotiate: Negotiate) -> Self {
        self.set(|settings| settings.negotiate = negotiate)
    }

    /// Which methods can ask for events; others go inside, and `Accept` is not looked at. Default: GET and HEAD.
    /// Has no effect when [decorating](SseLayer::decorate).
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods = methods.into_iter().collect();
        self.set(|settings| settings.methods = methods)
    }

    /// Which requests can ask for events, by their head; others go inside, and `Accept` is not looked at. Default: all.
    /// Has no effect when [decorating](SseLayer::decorate). It runs for each request whose method fits, so it must be
    /// quick.
    ///
    /// ```
    /// use tower_sse::{Event, Events, SseLayer};
    ///
    /// # let events = |_: http::Request<()>| async { Events::new(futures_util::stream::pending::<Event>()) };
    /// let layer = SseLayer::from_fn(events).when(|head| head.uri().path() == "/events");
    /// ```
    pub fn when(self, predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.predicate = Some(Arc::new(predicate)))
    }

    /// Names requests that the service inside will answer with a stream, beside GET requests that accept
    /// `text/event-stream` and nothing else. Used by [`decorate`](SseLayer::decorate), and only if there are
    /// [`streams`](Self::streams).
    ///
    /// Such a request is admitted before the service inside gets it: it is refused there if there is no room, and counts
    /// against the limits while it has no answer. Any other request is admitted when its answer turns out to be a stream.
    /// The predicate decides when a request is admitted, not which responses are decorated.
    ///
    /// ```
    /// use tower_sse::{SseLayer, streams::Streams};
    ///
    /// # let streams = Streams::new();
    /// let layer = SseLayer::decorate().streams(&streams).expect_stream(|head| head.uri().path() == "/v1/completions");
    /// ```
    pub fn expect_stream(self, predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.expects = Some(Arc::new(predicate)))
    }

    /// Names the query parameter that gives a [`LastEventId`](crate::LastEventId) where there is no such header: for a page that
    /// saved its id over a reload. [`LastEventId::of`](crate::LastEventId::of) finds it, in an event service as in a handler behind
    /// [`decorate`](SseLayer::decorate). Costs an entry in the extensions of a request that has it. Defaults to none.
    pub fn last_event_id_query(self, parameter: impl Into<String>) -> Self {
        let parameter = parameter.into();
        self.set(|settings| settings.last_event_id_query = Some(parameter.into()))
    }

    /// How long the event service may take until the head goes out without its answer, and heartbeats begin. `None`:
    /// for ever. Default: 15 s, so that no proxy gives up first; for ever with [`Negotiate::Always`], where the answer may
    /// be no stream at all. Has no effect when [decorating](SseLayer::decorate).
    ///
    /// A later answer of events runs as usual. A later refusal, or a response that is no event stream, is told by a last
    /// event named `refused` whose data is `{"status":…}`. Headers of a late answer are lost.
    ///
    /// A later event stream in a coding (a `Content-Encoding` such as `gzip`) or a part of one (a `Content-Range`) is lost, since
    /// the head said nothing of it: the client gets the same last event, and an observer the reason. An event service that may
    /// be late answers without a coding, and a layer outside compresses.
    pub fn commit_after(self, deadline: impl Into<Option<Duration>>) -> Self {
        let commit = deadline.into().map_or(Commit::Never, Commit::After);
        self.set(|settings| settings.commit = commit)
    }

    /// Sets the form of ends that come before the stream's own, of event services and of decorated streams alike: closed, so that an
    /// `EventSource` comes back, or aborted, so that a client of an API sees that the answer is not complete. Defaults to
    /// [`EarlyEnd::ByMethod`]: closed for GET and HEAD, aborted for every other method.
    pub fn early_end(self, early_end: EarlyEnd) -> Self {
        self.set_stream(|stream| stream.early_end(early_end))
    }

    /// Sets whether streams have lines that are no events: [`Comments::Omit`] is for clients that fail at them. Defaults to
    /// [`Comments::Send`].
    pub fn comments(self, comments: Comments) -> Self {
        self.set_stream(|stream| stream.comments(comments))
    }

    /// Omits comments for requests with a head like this, above the setting of the layer and below that of a stream. Defaults to
    /// none. The predicate runs for each request that may become a stream, so it must be quick.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// let layer = SseLayer::decorate().omit_comments_for(|head| {
    ///     // Both SDKs of Google say so.
    ///     head.headers().get("x-goog-api-client").is_some_and(|client| client.as_bytes().starts_with(b"google-genai-sdk/"))
    /// });
    /// ```
    pub fn omit_comments_for(self, predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.omits_comments = Some(Arc::new(predicate)))
    }

    /// Sets the form of the `retry:` before an end that the client should come back from, in streams and in refusals. Defaults to
    /// [`LastRetry::Line`].
    pub fn last_retry(self, last_retry: LastRetry) -> Self {
        self.set_stream(|stream| stream.last_retry(last_retry))
    }

    /// Adds an observer of streams. May be called several times. Defaults to none, which costs nothing. See
    /// [`observe`](crate::observe) for the costs.
    ///
    /// Layers around layers each report a stream to their own observers. An observer that several of them have in common
    /// gets each report once: see [`Observer::identity`].
    pub fn observer(self, observer: impl Observer) -> Self {
        let observer: Arc<dyn Observer> = Arc::new(observer);
        self.set(|settings| {
            if !settings.observers.iter().any(|other| dispatch::is_same(other, &observer)) {
                settings.observers.push(observer);
            }
        })
    }

    /// Where streams are counted, limited and ended together. Default: nowhere. See [`streams`](crate::streams).
    pub fn streams(self, streams: &Streams) -> Self {
        let registry = streams.registry();
        self.set(|settings| settings.streams = Some(registry))
    }

    /// Sets the key that a stream is counted by, and can be [ended](Streams::end_key) by: an address, a user. Defaults to none. It
    /// runs for each request that may become a stream, with [`decorate`](SseLayer::decorate) for every request, and only if there
    /// are [`streams`](Self::streams). If it panics the stream is refused.
    pub fn stream_key(self, key: impl Fn(&RequestHead<'_>) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.key = Some(Arc::new(key)))
    }

    /// Whether a client may still see its stream, asked while it is open. Default: it is not asked. Costs a copy of the
    /// request's head for each stream, and its checks. See [`access`](crate::access).
    pub fn access(self, access: AccessCheck) -> Self {
        self.set(|settings| settings.access = Some(Arc::new(access)))
    }

    /// The longest that a stream is open, or up to a fifth shorter. Default: any time. See [`StreamSettings::lifetime`].
    pub fn lifetime(self, lifetime: Duration) -> Self {
        self.set_stream(|stream| stream.lifetime(lifetime))
    }

    /// What becomes of streams when a [drain](Streams::drain) begins. Default: [`OnDrain::Leave`].
    pub fn on_drain(self, on_drain: OnDrain) -> Self {
        self.set_stream(|stream| stream.on_drain(on_drain))
    }

    fn set(mut self, set: impl FnOnce(&mut LayerSettings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    fn set_stream(self, set: impl FnOnce(StreamSettings) -> StreamSettings) -> Self {
        self.set(|settings| settings.stream = Arc::new(set((*settings.stream).clone())))
    }
}

impl<F> SseLayer<FromFn<F>> {
    /// A layer whose events come from this async function of the request.
    ///
    /// It may return what an event service may answer, or a `Result` of that. The function is cloned for each request.
    pub fn from_fn<B, Fut>(f: F) -> Self
    where
        F: Fn(Request<B>) -> Fut + Clone,
        Fut: Future<Output: IntoAnswer>,
    {
        Self::new(FromFn::new(f))
    }
}

impl SseLayer<NoEvents> {
    /// A layer without an event service: event streams that the service inside answers get prelude, heartbeat and
    /// an end that their client understands.
    ///
    /// Requests go inside untouched, but for the extensions that a [`last_event_id_query`](Self::last_event_id_query) and
    /// [`streams`](Self::streams) add. All responses pass as they are that answer a HEAD request, or that are not a success of
    /// type `text/event-stream`. What no longer fits goes from the head: length, `ETag`, digests. Nothing is put into a line, and
    /// no event into another.
    ///
    /// Nothing can be added to bytes that are in a coding (a `Content-Encoding` other than `identity` or `none`) or a part of
    /// others (a `Content-Range`). Such a stream has no prelude, heartbeat or last event, and is counted, limited, observed and
    /// ended like any other. Its early end is an [abort](crate::EarlyEnd::Abort), to every method.
    ///
    /// A stream of this crate keeps its own prelude and heartbeat, and ends by itself, also if its response was compressed on the
    /// way. What the layer asks for beside that holds for it: limits, lifetime, access, drain, logout and observers.
    pub fn decorate() -> Self {
        Self { events: NoEvents(()), settings: Arc::new(LayerSettings::new(true)) }
    }
}

impl<S, E: Clone> Layer<S> for SseLayer<E> {
    type Service = Sse<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Sse::new(inner, self.events.clone(), Arc::clone(&self.settings))
    }
}

impl<E> fmt::Debug for SseLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
