//! Provides the answers of an event service: events, a response, or one of the two.

pub(crate) mod channel;
pub(crate) mod interval;
pub(crate) mod once;

use std::{fmt, future::Future, marker::PhantomData, time::Duration};

use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;
use tokio::time::Instant;

use self::{
    channel::{EventReceiver, EventSender},
    interval::Interval,
    once::Once,
};
use crate::{
    body::{
        boxed::{BoxSource, LocalBoxSource},
        from_stream::{IntoEvent, StreamSource},
        never::Never,
        source::Source,
    },
    error::BoxError,
    event::{Event, encode::LastRetry},
    negotiate::refusal::Refusal,
    settings::{Comments, EarlyEnd, OnDrain, StreamSettings, heartbeat::Heartbeat},
};

/// Events, with settings of their stream: the answer of an event service, or of an axum handler under feature `axum`.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use futures_util::{StreamExt, stream};
/// use tower_sse::{Event, Events};
///
/// // A stream of events, or of `Result<Event, E>`.
/// let events = Events::new(stream::iter(["a", "b"]).map(Event::new));
///
/// // One event each second.
/// let events = Events::every(Duration::from_secs(1), || async { Event::new("tick") })
///     .heartbeat(Duration::from_secs(30))
///     .retry(Duration::from_secs(2));
///
/// // Events that another task sends.
/// let (sender, events) = Events::channel(16);
/// ```
///
/// All events that are ready at the same time are sent at once, in one frame of at most 8 KiB. An event larger than that has a
/// frame of its own. When the stream ends, fails or panics, all events before that have been sent.
///
/// A clean end makes an `EventSource` reconnect. To keep the client away, answer its next request with [`Refusal::stop`]. To a
/// client of another method than GET a clean end means that the answer is complete, so a stream that fails is aborted there:
/// see [`EarlyEnd`].
#[must_use = "events do nothing unless they are answered"]
pub struct Events<S> {
    source: S,
    headers: HeaderMap,
    settings: StreamSettings,
}

/// Events whose source is boxed; made by [`Events::boxed`].
///
/// A name for a signature or a struct field, and one type for several sources:
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use tower_sse::{BoxEvents, Event, Events};
///
/// fn events(is_member: bool) -> BoxEvents {
///     if is_member {
///         Events::new(stream::iter(["a", "b"]).map(Event::new)).boxed()
///     } else {
///         Events::once(Event::new("for members only")).boxed()
///     }
/// }
/// ```
pub type BoxEvents = Events<BoxSource>;

/// Events whose source is boxed and not `Send`; made by [`Events::boxed_local`].
pub type LocalBoxEvents = Events<LocalBoxSource>;

/// Events or a response, for an event service that decides by what is in the request.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a reply is one or the other")]
pub enum Reply<S, B> {
    /// A stream of events.
    Events(Events<S>),
    /// A response. It is decorated if it is itself an event stream.
    Response(Response<B>),
}

/// An answer of an event service: [`Events`], an [`http::Response`], a [`Reply`], or a `Result` of one of these whose error
/// becomes a [`Refusal`]. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an answer of an event service",
    label = "write `Events::new(stream)`, an `http::Response`, a `Reply`, or a `Result` of one of these",
    note = "the error of a `Result` must be `Into<Refusal>`: a `Refusal`, a `StatusCode`, or any other by `.map_err(Refusal::internal)`",
    note = "a function given to `from_fn` must be `async`"
)]
pub trait IntoReply: sealed::Sealed {
    /// The source of its events.
    type Source: Source;
    /// The body of its response.
    type Body: Body<Error: Into<BoxError>>;

    /// Converts the answer into a reply.
    ///
    /// # Errors
    ///
    /// Returns the refusal that the error of a `Result` becomes.
    fn into_reply(self) -> Result<Reply<Self::Source, Self::Body>, Refusal>;
}

impl<S> Events<StreamSource<S>>
where
    S: Stream,
    S::Item: IntoEvent,
{
    /// Creates events from a stream. Its items are [`Event`]s, or results of them whose first error ends the stream.
    ///
    /// The stream is polled when the connection takes more, and dropped when the client leaves or the stream ends.
    pub fn new(stream: S) -> Self {
        Self::from_source(StreamSource::new(stream))
    }
}

impl<F, Fut> Events<StreamSource<Interval<F, Fut>>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output: IntoEvent>,
{
    /// Creates events from a function that is called at this period, first at once: call, send, flush, sleep.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Event, Events};
    ///
    /// # async fn temperature() -> f32 { 20.5 }
    /// let events = Events::every(Duration::from_secs(1), || async { Event::new(temperature().await.to_string()) });
    /// ```
    ///
    /// If its future takes longer than the period, the function is called again at the next full period. It is not called
    /// while the client does not read. The period is at least a millisecond.
    pub fn every(period: Duration, source: F) -> Self {
        Self::new(Interval::new(period, source))
    }
}

impl Events<StreamSource<EventReceiver>> {
    /// Creates a channel with room for this many events, and at least one. The sender waits while the channel is full, and
    /// can [wait](EventSender::closed) for the client to leave.
    ///
    /// The stream ends when all senders are dropped, and with an error by [`EventSender::fail`].
    pub fn channel(capacity: usize) -> (EventSender, Self) {
        let (sender, receiver) = channel::new(capacity);
        (sender, Self::new(receiver))
    }
}

impl Events<StreamSource<Once>> {
    /// Creates the stream of a single event. It ends after that, and an `EventSource` reconnects.
    ///
    /// ```
    /// use tower_sse::{Event, Events};
    ///
    /// let events = Events::once(Event::new("done"));
    /// ```
    pub fn once(event: Event) -> Self {
        Self::new(Once::new(Some(event)))
    }

    /// Creates a stream that ends at once, of the same type as [`once`](Self::once). An `EventSource` reconnects:
    /// [`Refusal::stop`] keeps it away.
    pub fn empty() -> Self {
        Self::new(Once::new(None))
    }
}

impl<S> Events<S> {
    /// Boxes the source, which costs an allocation for each stream and an indirect call for each frame. For a signature or a
    /// struct field that names the type, and for several sources of one type: see [`BoxEvents`].
    pub fn boxed(self) -> BoxEvents
    where
        S: Source + Send + 'static,
    {
        self.map_source(BoxSource::new)
    }

    /// Boxes a source that is not `Send`, for streams on a [`LocalSet`](tokio::task::LocalSet). See [`boxed`](Self::boxed).
    pub fn boxed_local(self) -> LocalBoxEvents
    where
        S: Source + 'static,
    {
        self.map_source(LocalBoxSource::new)
    }

    fn map_source<T>(self, map: impl FnOnce(S) -> T) -> Events<T> {
        Events { source: map(self.source), headers: self.headers, settings: self.settings }
    }

    pub(crate) fn from_source(source: S) -> Self {
        Self { source, headers: HeaderMap::new(), settings: StreamSettings::new() }
    }

    /// Sets a header of the response, in place of the layer's. Headers about the connection and the length of the body are
    /// left out: the server sets them. Defaults to none.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header of the response that may occur several times, for example `Set-Cookie`.
    pub fn append_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the heartbeat. See [`StreamSettings::heartbeat`].
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.settings = self.settings.heartbeat(heartbeat);
        self
    }

    /// Sets the `retry:` that the stream begins with. See [`StreamSettings::retry`].
    pub fn retry(mut self, retry: Duration) -> Self {
        self.settings = self.settings.retry(retry);
        self
    }

    /// Sets the time at which the stream ends. See [`StreamSettings::deadline`].
    pub fn deadline(mut self, at: impl Into<Instant>) -> Self {
        self.settings = self.settings.deadline(at);
        self
    }

    /// Sets the longest time that the stream is open. See [`StreamSettings::lifetime`].
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.settings = self.settings.lifetime(lifetime);
        self
    }

    /// Sets the part of the stream in a drain. See [`StreamSettings::on_drain`].
    pub fn on_drain(mut self, on_drain: OnDrain) -> Self {
        self.settings = self.settings.on_drain(on_drain);
        self
    }

    /// Sets the last event of a stream that fails. See [`StreamSettings::on_failure`].
    pub fn on_failure(mut self, last: Event) -> Self {
        self.settings = self.settings.on_failure(last);
        self
    }

    /// Sets the form of an end before the source's own. See [`StreamSettings::early_end`].
    pub fn early_end(mut self, early_end: EarlyEnd) -> Self {
        self.settings = self.settings.early_end(early_end);
        self
    }

    /// Sets whether comments are sent. See [`StreamSettings::comments`].
    pub fn comments(mut self, comments: Comments) -> Self {
        self.settings = self.settings.comments(comments);
        self
    }

    /// Sets the form of the last `retry:`. See [`StreamSettings::last_retry`].
    pub fn last_retry(mut self, last_retry: LastRetry) -> Self {
        self.settings = self.settings.last_retry(last_retry);
        self
    }

    pub(crate) fn into_parts(self) -> (S, StreamSettings, HeaderMap) {
        (self.source, self.settings, self.headers)
    }
}

impl<S> fmt::Debug for Events<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("source", &PhantomData::<S>)
            .field("headers", &self.headers)
            .field("settings", &self.settings)
            .finish()
    }
}

impl<S, B> From<Events<S>> for Reply<S, B> {
    fn from(events: Events<S>) -> Self {
        Self::Events(events)
    }
}

impl<S, B> From<Response<B>> for Reply<S, B> {
    fn from(response: Response<B>) -> Self {
        Self::Response(response)
    }
}

impl<S: Source> IntoReply for Events<S> {
    type Source = S;
    type Body = Never;

    fn into_reply(self) -> Result<Reply<S, Never>, Refusal> {
        Ok(Reply::Events(self))
    }
}

impl<B: Body<Error: Into<BoxError>>> IntoReply for Response<B> {
    type Source = Never;
    type Body = B;

    fn into_reply(self) -> Result<Reply<Never, B>, Refusal> {
        Ok(Reply::Response(self))
    }
}

impl<S: Source, B: Body<Error: Into<BoxError>>> IntoReply for Reply<S, B> {
    type Source = S;
    type Body = B;

    fn into_reply(self) -> Result<Self, Refusal> {
        Ok(self)
    }
}

// Otherwise the compiler asks for `Refusal: From<E>` and does not show the message of `IntoReply`.
#[diagnostic::do_not_recommend]
impl<R: IntoReply, E: Into<Refusal>> IntoReply for Result<R, E> {
    type Source = R::Source;
    type Body = R::Body;

    fn into_reply(self) -> Result<Reply<R::Source, R::Body>, Refusal> {
        self.map_err(Into::into)?.into_reply()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}

    impl<S> Sealed for super::Events<S> {}
    impl<B> Sealed for super::Response<B> {}
    impl<S, B> Sealed for super::Reply<S, B> {}
    impl<R, E> Sealed for Result<R, E> {}
}
