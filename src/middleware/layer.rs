//! The layer and its settings.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use http::{Method, Request};
use tower_layer::Layer;

use super::{
    from_fn::{FromFn, NoEvents},
    service::Sse,
    settings::{Commit, LayerSettings},
};
use crate::{
    access::AccessCheck,
    answer::IntoReply,
    event::{Event, encode::LastRetry},
    negotiate::{accept::Negotiate, request_head::RequestHead},
    observe::{Observer, dispatch},
    settings::{Comments, EarlyEnd, OnDrain, StreamSettings, heartbeat::Heartbeat},
    streams::handle::Streams,
};

/// A layer that puts an event service beside a service: requests for an event stream go to the event service, all others to
/// the inner service.
///
/// There are three constructors:
///
/// - [`from_fn`](Self::from_fn) takes an async function. This is the usual one.
/// - [`new`](Self::new) takes any `Service<http::Request<B>>`, such as a router.
/// - [`decorate`](SseLayer::decorate) takes no event service, and decorates event streams of the inner service.
///
/// The reasons for the defaults of the setters are in [`docs::defaults`](crate::docs::defaults).
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
/// // On this route, requests for events get the stream, all others the page.
/// let app: Router = Router::new().route("/", get("the page").layer(layer));
/// ```
///
/// Around a whole router the layer answers on every path, and bypasses the layers that the router already has, such as an
/// authentication. Put it around one route, or restrict it by [`when`](Self::when).
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct SseLayer<E> {
    events: E,
    pub(crate) settings: Arc<LayerSettings>,
}

impl<E> SseLayer<E> {
    /// Creates a layer with this event service.
    ///
    /// The service answers [`Events`](crate::Events), an [`http::Response`] or a [`Reply`](crate::Reply). Its error becomes a
    /// [`Refusal`](crate::Refusal). It is cloned for each request, driven to readiness and called within the response's
    /// future. The body of its answer to a HEAD request is dropped.
    pub fn new(events: E) -> Self {
        Self { events, settings: Arc::new(LayerSettings::new(false)) }
    }

    /// Sets the bytes that are sent while there is no event, by a [`Heartbeat`] or a period. Defaults to a comment every 15 s.
    pub fn heartbeat(self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.set_stream(|stream| stream.heartbeat(heartbeat))
    }

    /// Sets the time that clients wait before they reconnect, sent as a `retry:` with the head. Defaults to none: each client has a
    /// time of its own.
    pub fn retry(self, retry: Duration) -> Self {
        self.set_stream(|stream| stream.retry(retry))
    }

    /// Sets the last event of a stream that fails or panics, or is cut by the deadline of a drain. Defaults to none.
    pub fn on_failure(self, last: Event) -> Self {
        self.set_stream(|stream| stream.on_failure(last))
    }

    /// Sets the choice by `Accept`. Has no effect on a layer that [decorates](SseLayer::decorate). Defaults to
    /// [`Negotiate::Listed`].
    pub fn negotiate(self, negotiate: Negotiate) -> Self {
        self.set(|settings| settings.negotiate = negotiate)
    }

    /// Sets the methods that can request events. All others go to the inner service, without a look at `Accept`. Has no effect on a
    /// layer that [decorates](SseLayer::decorate). Defaults to GET and HEAD.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods = methods.into_iter().collect();
        self.set(|settings| settings.methods = methods)
    }

    /// Restricts events to requests that match this predicate. All others go to the inner service, without a look at `Accept`. Has
    /// no effect on a layer that [decorates](SseLayer::decorate). Defaults to all requests.
    ///
    /// The predicate runs for each request with one of the [`methods`](Self::methods), so it must be quick.
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

    /// Matches requests that the inner service will answer with a stream, in addition to GET requests that accept
    /// `text/event-stream` and nothing else. Used only by a layer that [decorates](SseLayer::decorate) and counts
    /// [`streams`](Self::streams). Defaults to none.
    ///
    /// Such a request is admitted before the inner service is called: it is refused then if there is no room, and counts
    /// against the limits while its answer is pending. Any other request is admitted once its answer is known to be a stream.
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

    /// Sets the query parameter that carries a [`LastEventId`](crate::LastEventId) if the request has no such header, for pages that
    /// keep an id across a reload. [`LastEventId::of`](crate::LastEventId::of) returns it, in an event service and in a handler behind
    /// [`decorate`](SseLayer::decorate). Costs an entry in the extensions of a request with that parameter. Defaults to none.
    pub fn last_event_id_query(self, parameter: impl Into<String>) -> Self {
        let parameter = parameter.into();
        self.set(|settings| settings.last_event_id_query = Some(parameter.into()))
    }

    /// Sets the time that the event service has for its answer. Then the head is sent without one, and heartbeats begin. `None`
    /// waits without a limit. Has no effect on a layer that [decorates](SseLayer::decorate). Defaults to 15 s, which is before
    /// proxies time out, and to no limit with [`Negotiate::Always`], where the answer may not be a stream.
    ///
    /// A late answer with events, or with a response that is an event stream, continues the stream. Its status and headers are
    /// lost. A late refusal, and any other response, ends the stream with an event named `refused` whose data is
    /// `{"status":…}`; a late [`Refusal::later`](crate::Refusal::later) ends it with a `retry:`.
    ///
    /// A late event stream that is coded (`Content-Encoding: gzip`) or partial (`Content-Range`) is lost, since the head that was
    /// sent did not announce it. The client gets the event `refused`, an observer the error. An event service that may be late
    /// should answer without a coding, and an outer layer compress.
    pub fn commit_after(self, deadline: impl Into<Option<Duration>>) -> Self {
        let commit = deadline.into().map_or(Commit::Never, Commit::After);
        self.set(|settings| settings.commit = commit)
    }

    /// Sets the form of ends that come before the end of the source, for event services and decorated streams alike: a clean end
    /// makes an `EventSource` reconnect, an abort shows a client of an API that the answer is incomplete. Defaults to
    /// [`EarlyEnd::ByMethod`]: clean for GET and HEAD, an abort for every other method.
    pub fn early_end(self, early_end: EarlyEnd) -> Self {
        self.set_stream(|stream| stream.early_end(early_end))
    }

    /// Sets whether streams contain comments. [`Comments::Omit`] is for clients that fail at them. Defaults to
    /// [`Comments::Send`].
    pub fn comments(self, comments: Comments) -> Self {
        self.set_stream(|stream| stream.comments(comments))
    }

    /// Omits comments for requests that match this predicate. Takes precedence over [`comments`](Self::comments) of the layer, but not
    /// over those of a stream. Defaults to none.
    ///
    /// The predicate runs for each request that may become a stream, so it must be quick.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// let layer = SseLayer::decorate().omit_comments_for(|head| {
    ///     // Both SDKs of Google send this header.
    ///     head.headers().get("x-goog-api-client").is_some_and(|client| client.as_bytes().starts_with(b"google-genai-sdk/"))
    /// });
    /// ```
    pub fn omit_comments_for(self, predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.omits_comments = Some(Arc::new(predicate)))
    }

    /// Sets the form of the `retry:` before an end after which clients reconnect, in streams and in refusals. Defaults to
    /// [`LastRetry::Line`].
    pub fn last_retry(self, last_retry: LastRetry) -> Self {
        self.set_stream(|stream| stream.last_retry(last_retry))
    }

    /// Adds an observer of streams. May be called several times. Defaults to none, which costs nothing. See
    /// [`observe`](crate::observe) for the costs.
    ///
    /// Nested layers each report a stream to their own observers. An observer that several of them share gets each report once:
    /// see [`Observer::identity`].
    pub fn observer(self, observer: impl Observer) -> Self {
        let observer: Arc<dyn Observer> = Arc::new(observer);
        self.set(|settings| {
            if !settings.observers.iter().any(|other| dispatch::is_same(other, &observer)) {
                settings.observers.push(observer);
            }
        })
    }

    /// Sets the registry that counts, limits and ends streams. See [`streams`](crate::streams) for its costs. Defaults to none.
    pub fn streams(self, streams: &Streams) -> Self {
        let registry = streams.registry();
        self.set(|settings| settings.streams = Some(registry))
    }

    /// Sets the function that returns the key of a stream, such as an address or a user: limits count streams by key, and
    /// [`Streams::end_key`] ends them by key. Has no effect without [`streams`](Self::streams). Defaults to none.
    ///
    /// The function runs for each request that may become a stream, which is every request of a layer that
    /// [decorates](SseLayer::decorate). If it panics the request is refused.
    pub fn stream_key(self, key: impl Fn(&RequestHead<'_>) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.key = Some(Arc::new(key)))
    }

    /// Sets a check that is repeated while a stream is open, and can revoke the client's access. See [`access`](crate::access). Costs
    /// a copy of the request's head for each stream, and the checks. Defaults to none.
    pub fn access(self, access: AccessCheck) -> Self {
        self.set(|settings| settings.access = Some(Arc::new(access)))
    }

    /// Sets the time after which a stream ends, shortened at random by up to a fifth. See [`StreamSettings::lifetime`]. Defaults to no
    /// limit.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        self.set_stream(|stream| stream.lifetime(lifetime))
    }

    /// Sets the behaviour of streams when a [drain](Streams::drain) begins. Defaults to [`OnDrain::Leave`].
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
    /// Creates a layer with an async function of the request as its event service.
    ///
    /// The function returns [`Events`](crate::Events), an [`http::Response`] or a [`Reply`](crate::Reply), or a `Result` of one of
    /// them whose error becomes a [`Refusal`](crate::Refusal). It is cloned for each request. The future that it returns cannot
    /// borrow from the request, which moves into it.
    ///
    /// A [`Refusal`](crate::Refusal) or a [`StatusCode`](http::StatusCode) needs no conversion. For every other error, such as
    /// `anyhow::Error` or a `String`, [`Refusal::internal`](crate::Refusal::internal) is a 500 whose text only observers get:
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Request;
    /// use tower_sse::{Event, Events, Refusal, Source, SseLayer};
    ///
    /// # async fn connect(name: &str) -> std::io::Result<String> { Ok(name.to_owned()) }
    /// async fn prices(request: Request<()>) -> Result<Events<impl Source>, Refusal> {
    ///     let name = request.uri().query().ok_or(Refusal::stop())?;
    ///     let feed = connect(name).await.map_err(Refusal::internal)?;
    ///     Ok(Events::every(Duration::from_secs(1), move || {
    ///         let event = Event::new(feed.clone());
    ///         async move { event }
    ///     }))
    /// }
    ///
    /// let layer = SseLayer::from_fn(prices);
    /// ```
    pub fn from_fn<B, Fut>(f: F) -> Self
    where
        F: Fn(Request<B>) -> Fut + Clone,
        Fut: Future<Output: IntoReply>,
    {
        Self::new(FromFn::new(f))
    }
}

impl SseLayer<NoEvents> {
    /// Creates a layer without an event service, for event streams that the inner service answers. They get the layer's prelude
    /// and heartbeats, and an end that their client understands.
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{Router, routing::post};
    /// use tower_sse::SseLayer;
    ///
    /// # async fn proxy() {}
    /// // The handler passes on the response of a language model, which may be silent for minutes.
    /// let app: Router = Router::new()
    ///     .route("/v1/completions", post(proxy))
    ///     .layer(SseLayer::decorate().heartbeat(Duration::from_secs(10)));
    /// ```
    ///
    /// Requests pass to the inner service unchanged, apart from the extensions that
    /// [`last_event_id_query`](Self::last_event_id_query) and [`streams`](Self::streams) add.
    ///
    /// # Decorated streams
    ///
    /// A response is decorated if it is an event stream by its head: a success other than 204 and 205 with the `Content-Type`
    /// `text/event-stream`, to any method but HEAD. [`StreamSettings`] among its extensions take precedence over those of the layer.
    ///
    /// - The bytes of the inner body pass unchanged and in order. The prelude and the `retry:` come before them, heartbeats between
    ///   events: nothing is inserted into a line, and no event into another.
    /// - A stream that is ended by a lifetime, an access check, a drain or a logout ends between two events, if one ends within
    ///   5 s. A stream that fails or panics closes the line that it is in. The last event ([`on_failure`](Self::on_failure)) or a
    ///   `retry:` follows, then the end in the form of [`EarlyEnd`]. A body that ends on its own ends cleanly.
    /// - Header fields that no longer fit are removed: the length, `ETag`, `Accept-Ranges` and digests. `Cache-Control` gets
    ///   `no-cache` and `no-transform` in addition to its directives, and `X-Accel-Buffering` is set to `no` unless it is set.
    ///
    /// # Coded and partial streams
    ///
    /// No bytes can be added to an event stream in a coding (a `Content-Encoding` other than `identity` or `none`), or to a part
    /// of one (206, or a `Content-Range`). Such a stream is only counted, limited, observed and ended: it gets no prelude, heartbeat
    /// or last event, its head passes unchanged, and its early end is an [abort](EarlyEnd::Abort) for every method.
    ///
    /// # Streams of this crate
    ///
    /// A handler's [`Events`](crate::Events), and a stream of an inner layer, are found by an extension of the response, also if the
    /// response was compressed on the way. They keep their own prelude, heartbeats and form of the end; `Events` that have met
    /// no layer yet take the settings of this one, below their own. The layer adds its limits, lifetime, access checks, drain,
    /// logout and observers; of several lifetimes the earliest end applies.
    ///
    /// A [`Refusal`](crate::Refusal) of a handler is reported to the observers, and its response is adapted to the method of the
    /// request.
    ///
    /// # Other responses
    ///
    /// Every other response passes unchanged, as does every response to a HEAD request.
    ///
    /// # Admission
    ///
    /// With [`streams`](Self::streams), a request that is known to be for a stream counts against the limits before the inner
    /// service is called: a GET that accepts `text/event-stream` and nothing else, and each request that
    /// [`expect_stream`](Self::expect_stream) matches. Any other request has a tentative slot, which a drain and a logout find, and
    /// which counts once the response is known to be a stream. If there is no room then, the request waits up to 80 ms for
    /// some; otherwise the response is dropped and the client refused.
    ///
    /// # Late answers
    ///
    /// The head is that of the inner service, so the layer has no [commit deadline](Self::commit_after) and never answers late. An
    /// inner layer with an event service may: its stream is one of this crate, also while its answer is pending.
    pub fn decorate() -> Self {
        Self { events: NoEvents(()), settings: Arc::new(LayerSettings::new(true)) }
    }
}

impl<E> Sse<(), E> {
    /// Creates a layer whose services answer requests for events by `events`; the same as
    /// [`SseLayer::new`](crate::SseLayer::new).
    pub fn layer(events: E) -> SseLayer<E> {
        SseLayer::new(events)
    }
}

impl<S, E: Clone> Layer<S> for SseLayer<E> {
    type Service = Sse<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Sse::with_settings(inner, self.events.clone(), Arc::clone(&self.settings))
    }
}

impl<E> fmt::Debug for SseLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
