//! Who watches streams: a hook that is told when one opens, sends and closes, and why.
//!
//! An [`Observer`] belongs to a layer. For each stream that opens it may give a [`StreamObserver`], to which all that
//! happens to this stream goes. Calls come from within polls and drops, so they must be quick and cannot wait; a panic
//! in one is caught and ends nothing. Without an observer nothing is computed.
//!
//! ```
//! use std::sync::atomic::{AtomicI64, Ordering};
//! use tower_sse::{Closed, Observer, RequestHead, StreamObserver};
//!
//! static OPEN: AtomicI64 = AtomicI64::new(0);
//!
//! struct Count;
//!
//! impl Observer for Count {
//!     fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
//!         OPEN.fetch_add(1, Ordering::Relaxed);
//!         Some(Box::new(Self))
//!     }
//! }
//!
//! impl StreamObserver for Count {
//!     fn closed(&mut self, closed: &Closed<'_>) {
//!         OPEN.fetch_sub(1, Ordering::Relaxed);
//!         println!("{} after {:?}, {} events", closed.reason, closed.duration, closed.totals.events);
//!     }
//! }
//! ```
//!
//! Costs: a copy of the request's head for each request that may become a stream, since the head is gone by the time it
//! does, and one box for each stream.

use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use http::{Extensions, HeaderMap, Method, Request, Uri, request::Parts};
use tokio::time::Instant;

use crate::{Refusal, hub::Gap};

/// Is told of each stream that opens, and of each request for one that was refused.
pub trait Observer: Send + Sync + 'static {
    /// A stream's head is about to go out. `None`: nobody looks at this one.
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>>;

    /// A request for a stream was refused, before any head went out.
    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let _ = (head, refusal);
    }
}

/// Is told what happens to one stream. [`closed`](Self::closed) comes last, once, however the stream ends.
pub trait StreamObserver: Send + 'static {
    /// The first event goes out, so long after the head did.
    fn first_event(&mut self, after: Duration) {
        let _ = after;
    }

    /// A frame goes out, with so much in it.
    fn sent(&mut self, sent: &Sent) {
        let _ = sent;
    }

    /// The client has missed something, and is told so.
    fn lagged(&mut self, gap: &Gap) {
        let _ = gap;
    }

    /// The stream is over.
    fn closed(&mut self, closed: &Closed<'_>) {
        let _ = closed;
    }
}

/// What went out, in one frame or in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Events, heartbeats not counted.
    pub events: u64,
    /// Bytes of the body before any framing, with heartbeats and prelude.
    pub bytes: u64,
    /// Heartbeats, comments and named ones.
    pub heartbeats: u64,
}

/// How a stream ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed<'a> {
    /// Why.
    pub reason: Reason,
    /// What the stream or the event service said, where the reason is [`Failed`](Reason::Failed) or
    /// [`Refused`](Reason::Refused); why, where it is [`Withdrawn`](Reason::Withdrawn).
    pub error: Option<&'a (dyn Error + Send + Sync + 'static)>,
    /// How long since the head went out.
    pub duration: Duration,
    /// All that went out. What the client got may be less.
    pub totals: Sent,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The stream of events came to its end.
    Finished,
    /// The stream of events, or a decorated body, gave an error.
    Failed,
    /// The stream of events, a decorated body, or an event service that was late, panicked.
    Panicked,
    /// A [drain](crate::streams::Streams::drain) ended it.
    Drained,
    /// It was open for as long as it [may be](crate::StreamSettings::lifetime).
    Lifetime,
    /// Its [deadline](crate::StreamSettings::deadline) came.
    Deadline,
    /// [Access](crate::access) was withdrawn, or it was [ended by its key](crate::streams::Streams::end).
    Withdrawn,
    /// It was behind what its topics keep, and is to come back.
    Lagged,
    /// All its topics are closed.
    TopicClosed,
    /// The event service was late and then refused, or answered something that is no event stream.
    Refused,
    /// The connection was gone while the stream waited for events.
    ClientGone,
    /// The client had not read for 30 s or longer: found by a [watchdog](crate::streams::StreamsBuilder::stalled_after), or
    /// when the connection was gone. In a drain a second is enough.
    Stalled,
}

/// What can be known of a request before its body: what predicates and observers look at.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The head of this request.
    #[must_use]
    pub fn new<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The target.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What the layers outside put beside the request.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self::new(request)
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Self { method, uri, headers, extensions }
    }
}

impl From<&Self> for RequestHead<'_> {
    fn from(head: &Self) -> Self {
        *head
    }
}

impl Reason {
    /// A short word for it, the same in each release: what logs and metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Drained => "drained",
            Self::Lifetime => "lifetime",
            Self::Deadline => "deadline",
            Self::Withdrawn => "access withdrawn",
            Self::Lagged => "lagged",
            Self::TopicClosed => "topic closed",
            Self::Refused => "refused",
            Self::ClientGone => "client gone",
            Self::Stalled => "stalled",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One observer, or two as one.
pub(crate) fn both(one: Option<Arc<dyn Observer>>, other: impl Observer) -> Arc<dyn Observer> {
    match one {
        None => Arc::new(other),
        Some(one) => Arc::new(Both(one, other)),
    }
}

struct Both<O>(Arc<dyn Observer>, O);

struct BothStreams(Box<dyn StreamObserver>, Box<dyn StreamObserver>);

impl<O: Observer> Observer for Both<O> {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        let opened = |observer: &dyn Observer| quietly(|| observer.opened(head)).flatten();
        match (opened(&*self.0), opened(&self.1)) {
            (Some(one), Some(other)) => Some(Box::new(BothStreams(one, other))),
            (one, other) => one.or(other),
        }
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        quietly(|| self.0.refused(head, refusal));
        quietly(|| self.1.refused(head, refusal));
    }
}

impl BothStreams {
    /// A panic of one is not the other's.
    fn each(&mut self, call: impl Fn(&mut dyn StreamObserver)) {
        quietly(|| call(&mut *self.0));
        quietly(|| call(&mut *self.1));
    }
}

impl StreamObserver for BothStreams {
    fn first_event(&mut self, after: Duration) {
        self.each(|observer| observer.first_event(after));
    }

    fn sent(&mut self, sent: &Sent) {
        self.each(|observer| observer.sent(sent));
    }

    fn lagged(&mut self, gap: &Gap) {
        self.each(|observer| observer.lagged(gap));
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        self.each(|observer| observer.closed(closed));
    }
}

/// A head that outlives its request.
#[derive(Debug)]
pub(crate) struct OwnedHead(Request<()>);

impl OwnedHead {
    pub(crate) fn copy<B>(request: &Request<B>) -> Self {
        let mut copy = Request::new(());
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        copy.headers_mut().clone_from(request.headers());
        copy.extensions_mut().clone_from(request.extensions());
        Self(copy)
    }

    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead::new(&self.0)
    }

    pub(crate) fn opened(&self, observer: &dyn Observer) -> Option<Box<Observed>> {
        let stream = quietly(|| observer.opened(&RequestHead::new(&self.0))).flatten()?;
        Some(Box::new(Observed { stream, opened: Instant::now(), totals: Sent::default() }))
    }

    pub(crate) fn refused(&self, observer: &dyn Observer, refusal: &Refusal) {
        quietly(|| observer.refused(&RequestHead::new(&self.0), refusal));
    }
}

/// A stream that somebody looks at.
pub(crate) struct Observed {
    stream: Box<dyn StreamObserver>,
    /// When the head went out.
    opened: Instant,
    totals: Sent,
}

impl Observed {
    pub(crate) fn sent(&mut self, sent: Sent) {
        if self.totals.events == 0 && sent.events > 0 {
            let after = self.opened.elapsed();
            quietly(|| self.stream.first_event(after));
        }
        self.totals.events += sent.events;
        self.totals.bytes += sent.bytes;
        self.totals.heartbeats += sent.heartbeats;
        quietly(|| self.stream.sent(&sent));
    }

    pub(crate) fn lagged(&mut self, gap: &Gap) {
        quietly(|| self.stream.lagged(gap));
    }

    pub(crate) fn closed(mut self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let closed = Closed { reason, error, duration: self.opened.elapsed(), totals: self.totals };
        quietly(|| self.stream.closed(&closed));
        quietly(|| drop(self.stream));
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// An observer that panics must not end the stream that it looks at.
fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
