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
    any::TypeId,
    error::Error,
    fmt, mem,
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

    /// Returns an identity that is shared by all values that are the same observer. Several layers that share an observer
    /// report each stream to it once. Defaults to `None`: only the same value is the same observer, as in a layer that is
    /// cloned.
    ///
    /// An observer in an [`Arc`] has the identity of what the `Arc` points to.
    fn identity(&self) -> Option<ObserverId> {
        None
    }
}

/// An identity of an [`Observer`], compared for equality only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverId(Identity);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Shared(usize),
    Value(TypeId, String),
}

impl ObserverId {
    /// Returns the identity of what these values share. It holds for as long as the value in the `Arc` lives.
    #[must_use]
    pub fn of_shared<T: ?Sized>(shared: &Arc<T>) -> Self {
        Self(Identity::Shared(Arc::as_ptr(shared).cast::<()>().addr()))
    }

    /// Returns the identity of all values of type `T` that have this text in common: labels, for example.
    #[must_use]
    pub fn of_values<T: 'static>(text: impl Into<String>) -> Self {
        Self(Identity::Value(TypeId::of::<T>(), text.into()))
    }
}

/// Forwards to the observer inside, so that several layers can share one.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        (**self).opened(head)
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        (**self).refused(head, refusal);
    }

    fn identity(&self) -> Option<ObserverId> {
        (**self).identity().or_else(|| Some(ObserverId::of_shared(self)))
    }
}

/// Returns whether two observers are the same one.
pub(crate) fn is_same(one: &Arc<dyn Observer>, other: &Arc<dyn Observer>) -> bool {
    let identity = |observer: &Arc<dyn Observer>| quietly(|| observer.identity()).flatten();
    Arc::ptr_eq(one, other) || identity(one).is_some_and(|one| identity(other) == Some(one))
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
    ///
    /// A slow client decides how often that is, so this is called for the first gap and then at most once in 10 s. All gaps are
    /// counted: see [`Sent::gaps`].
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
    /// Gaps of which the client is told.
    pub gaps: u64,
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
    /// The event service was late and then refused, or answered something that is no event stream, or one in a coding.
    Refused,
    /// The connection was gone while the stream waited for events.
    ClientGone,
    /// The client had not read for as long as [`stalled_after`](crate::streams::StreamsBuilder::stalled_after) says, 5 min by
    /// default: found by a watchdog, or when the connection was gone. In a drain a second is enough for a stream that is to
    /// leave.
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

    /// Reports an open stream to these observers, in order. Returns `None` if none of them observes it.
    pub(crate) fn opened<'a>(&self, observers: impl Iterator<Item = &'a Arc<dyn Observer>>) -> Option<Box<Observed>> {
        let mut first: Option<Box<Observed>> = None;
        for observer in observers {
            let Some(stream) = quietly(|| observer.opened(&RequestHead::new(&self.0))).flatten() else { continue };
            let observed = Box::new(Observed {
                stream,
                opened: Instant::now(),
                totals: Sent::default(),
                gaps: Gaps::default(),
                next: None,
            });
            Observed::append(&mut first, observed);
        }
        first
    }

    /// Reports a refusal to these observers, in order.
    pub(crate) fn refused<'a>(&self, observers: impl Iterator<Item = &'a Arc<dyn Observer>>, refusal: &Refusal) {
        for observer in observers {
            quietly(|| observer.refused(&RequestHead::new(&self.0), refusal));
        }
    }
}

/// The observers of one stream: a list, one node for each.
pub(crate) struct Observed {
    stream: Box<dyn StreamObserver>,
    /// When the head went out.
    opened: Instant,
    totals: Sent,
    gaps: Gaps,
    next: Option<Box<Self>>,
}

/// Gaps that have come since the last frame, and when the observer may be called for one again.
#[derive(Debug, Default)]
struct Gaps {
    count: u64,
    next_call: Option<Instant>,
}

impl Observed {
    /// Appends observers to a list.
    pub(crate) fn append(mut list: &mut Option<Box<Self>>, observed: Box<Self>) {
        while let Some(node) = list {
            list = &mut node.next;
        }
        *list = Some(observed);
    }

    pub(crate) fn sent(&mut self, sent: Sent) {
        self.each(|observed| observed.note(sent));
    }

    pub(crate) fn lagged(&mut self, gap: &Gap) {
        self.each(|observed| observed.note_gap(gap));
    }

    pub(crate) fn closed(self: Box<Self>, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let mut list = Some(self);
        while let Some(mut node) = list {
            list = node.next.take();
            let Self { mut stream, opened, mut totals, gaps, .. } = *node;
            totals.gaps += gaps.count;
            let closed = Closed { reason, error, duration: opened.elapsed(), totals };
            quietly(|| stream.closed(&closed));
            quietly(|| drop(stream));
        }
    }

    fn note_gap(&mut self, gap: &Gap) {
        self.gaps.count += 1;
        let now = Instant::now();
        if self.gaps.next_call.is_none_or(|next| next <= now) {
            self.gaps.next_call = Some(now + GAP_CALLS);
            quietly(|| self.stream.lagged(gap));
        }
    }

    fn note(&mut self, mut sent: Sent) {
        sent.gaps = mem::take(&mut self.gaps.count);
        if self.totals.events == 0 && sent.events > 0 {
            let after = self.opened.elapsed();
            quietly(|| self.stream.first_event(after));
        }
        self.totals.events += sent.events;
        self.totals.bytes += sent.bytes;
        self.totals.heartbeats += sent.heartbeats;
        self.totals.gaps += sent.gaps;
        quietly(|| self.stream.sent(&sent));
    }

    /// A panic in one observer does not reach the others.
    fn each(&mut self, mut call: impl FnMut(&mut Self)) {
        let mut next = Some(self);
        while let Some(node) = next {
            call(node);
            next = node.next.as_deref_mut();
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// The least time between two calls for gaps of one stream.
const GAP_CALLS: Duration = Duration::from_secs(10);

/// An observer that panics must not end the stream that it looks at.
fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
