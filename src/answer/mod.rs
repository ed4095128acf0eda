//! What an event service answers: events, a response, or one of the two.

pub(crate) mod channel;
pub(crate) mod interval;

use std::{fmt, future::Future, marker::PhantomData, time::Duration};

use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;
use tokio::time::Instant;

use self::{
    channel::{EventReceiver, EventSender},
    interval::Interval,
};
use crate::{
    body::{
        from_stream::{IntoEvent, StreamSource},
        never::Never,
        source::Source,
    },
    error::BoxError,
    event::{Event, encode::LastRetry},
    negotiate::refusal::Refusal,
    settings::{Comments, EarlyEnd, OnDrain, StreamSettings, heartbeat::Heartbeat},
};

/// Events, and this stream's own settings: what an event service answers, or an axum handler under feature `axum`.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use futures_util::{StreamExt, stream};
/// use tower_sse::{Event, Events};
///
/// // A stream of events, or of `Result<Event, E>`.
/// let events = Events::new(stream::iter(["a", "b"]).map(Event::new));
///
/// // One that asks a source each second.
/// let events = Events::every(Duration::from_secs(1), || async { Event::new("tick") })
///     .heartbeat(Duration::from_secs(30))
///     .retry(Duration::from_secs(2));
///
/// // One that another task feeds.
/// let (sender, events) = Events::channel(16);
/// ```
///
/// All events that are ready at the same time leave in one frame of at most 8 KiB, at once; an event larger than that has
/// a frame of its own. When the stream ends, fails or panics, what came before it has been sent.
///
/// A clean end makes an `EventSource` reconnect: it takes a [`Refusal::stop`] then to keep it away. To a client of another method than
/// GET a clean end means that all has come, so a stream that fails is aborted there: see [`EarlyEnd`].
#[must_use = "events do nothing unless they are answered"]
pub struct Events<S> {
    source: S,
    headers: HeaderMap,
    settings: StreamSettings,
}

/// Events or a response, for an event service that decides by what is in the request.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "it is one or the other")]
pub enum Reply<S, B> {
    /// A stream.
    Events(Events<S>),
    /// Anything. If it is itself an event stream, it is decorated.
    Response(Response<B>),
}

/// What an event service may answer: [`Events`], an [`http::Response`], or a [`Reply`]. Sealed.
pub trait IntoReply: sealed::Sealed {
    /// What its events come from.
    type Source: Source;
    /// The body of its response.
    type Body: Body<Error: Into<BoxError>>;

    /// It, as one of the two.
    fn into_reply(self) -> Reply<Self::Source, Self::Body>;
}

/// What a function given to [`SseLayer::from_fn`](crate::SseLayer::from_fn) may return: what an event service may answer,
/// or a `Result` of that whose error is made a [`Refusal`]. Sealed.
pub trait IntoAnswer: sealed::Sealed {
    /// What its events come from.
    type Source: Source;
    /// The body of its response.
    type Body: Body<Error: Into<BoxError>>;

    /// It, as an answer or a refusal.
    ///
    /// # Errors
    ///
    /// The refusal that it is.
    fn into_answer(self) -> Result<Reply<Self::Source, Self::Body>, Refusal>;
}

impl<S> Events<StreamSource<S>>
where
    S: Stream,
    S::Item: IntoEvent,
{
    /// The events of this stream. Items are [`Event`]s, or results of them whose first error ends the stream.
    ///
    /// It is polled when the connection takes more, and dropped when the client leaves, or when the stream ends.
    pub fn new(stream: S) -> Self {
        Self::from_source(StreamSource::new(stream))
    }
}

impl<F, Fut> Events<StreamSource<Interval<F, Fut>>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output: IntoEvent>,
{
    /// Asks a source at this pace, first at once, and sends what it gives: ask, send, flush, sleep.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Event, Events};
    ///
    /// # async fn temperature() -> f32 { 20.5 }
    /// let events = Events::every(Duration::from_secs(1), || async { Event::new(temperature().await.to_string()) });
    /// ```
    ///
    /// A source that takes longer than the period is asked again at the next full period. One whose client does not read
    /// is not asked. Below a millisecond the period is a millisecond.
    pub fn every(period: Duration, source: F) -> Self {
        Self::new(Interval::new(period, source))
    }
}

impl Events<StreamSource<EventReceiver>> {
    /// A channel with room for this many events, and at least one: the sender waits while it is full, and
    /// [sees](EventSender::closed) that the client has left. Dropping all senders ends the stream, and
    /// [`EventSender::fail`] ends it with an error.
    pub fn channel(capacity: usize) -> (EventSender, Self) {
        let (sender, receiver) = channel::new(capacity);
        (sender, Self::new(receiver))
    }
}

impl<S> Events<S> {
    pub(crate) fn from_source(source: S) -> Self {
        Self { source, headers: HeaderMap::new(), settings: StreamSettings::new() }
    }

    /// A header for the response, in place of what the layer would set. Those about the connection and the body's length
    /// are the server's and are left out. Default: none.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header that may be there more than once, `Set-Cookie` for one.
    pub fn append_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// See [`StreamSettings::heartbeat`].
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.settings = self.settings.heartbeat(heartbeat);
        self
    }

    /// See [`StreamSettings::retry`].
    pub fn retry(mut self, retry: Duration) -> Self {
        self.settings = self.settings.retry(retry);
        self
    }

    /// See [`StreamSettings::deadline`].
    pub fn deadline(mut self, at: impl Into<Instant>) -> Self {
        self.settings = self.settings.deadline(at);
        self
    }

    /// See [`StreamSettings::lifetime`].
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.settings = self.settings.lifetime(lifetime);
        self
    }

    /// See [`StreamSettings::on_drain`].
    pub fn on_drain(mut self, on_drain: OnDrain) -> Self {
        self.settings = self.settings.on_drain(on_drain);
        self
    }

    /// See [`StreamSettings::on_failure`].
    pub fn on_failure(mut self, last: Event) -> Self {
        self.settings = self.settings.on_failure(last);
        self
    }

    /// See [`StreamSettings::early_end`].
    pub fn early_end(mut self, early_end: EarlyEnd) -> Self {
        self.settings = self.settings.early_end(early_end);
        self
    }

    /// See [`StreamSettings::comments`].
    pub fn comments(mut self, comments: Comments) -> Self {
        self.settings = self.settings.comments(comments);
        self
    }

    /// See [`StreamSettings::last_retry`].
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

    fn into_reply(self) -> Reply<S, Never> {
        Reply::Events(self)
    }
}

impl<B: Body<Error: Into<BoxError>>> IntoReply for Response<B> {
    type Source = Never;
    type Body = B;

    fn into_reply(self) -> Reply<Never, B> {
        Reply::Response(self)
    }
}

impl<S: Source, B: Body<Error: Into<BoxError>>> IntoReply for Reply<S, B> {
    type Source = S;
    type Body = B;

    fn into_reply(self) -> Self {
        self
    }
}

/// What is a reply is an answer.
macro_rules! answer {
    ($kind:ty, $($bound:tt)*) => {
        impl<$($bound)*> IntoAnswer for $kind {
            type Source = <Self as IntoReply>::Source;
            type Body = <Self as IntoReply>::Body;

            fn into_answer(self) -> Result<Reply<Self::Source, Self::Body>, Refusal> {
                Ok(self.into_reply())
            }
        }
    };
}

answer!(Events<S>, S: Source);
answer!(Response<B>, B: Body<Error: Into<BoxError>>);
answer!(Reply<S, B>, S: Source, B: Body<Error: Into<BoxError>>);

impl<R: IntoReply, E: Into<Refusal>> IntoAnswer for Result<R, E> {
    type Source = R::Source;
    type Body = R::Body;

    fn into_answer(self) -> Result<Reply<R::Source, R::Body>, Refusal> {
        self.map(IntoReply::into_reply).map_err(Into::into)
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
