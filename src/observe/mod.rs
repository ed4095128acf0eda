//! Hooks for observing streams: opened, sent, lagged, closed, refused.
//!
//! An [`Observer`] is added to a layer by [`SseLayer::observer`](crate::SseLayer::observer). For each stream that opens
//! it can return a [`StreamObserver`], which receives the events of this stream. Calls are made from within polls and
//! drops, so an observer must return quickly and cannot wait. A panic in an observer is caught and ends nothing.
//!
//! ```
//! use std::sync::atomic::{AtomicI64, Ordering};
//! use tower_sse::{RequestHead, observe::{Closed, Observer, StreamObserver}};
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
//! Two observers are ready to use: `Metrics` (feature `metrics`) and `Tracing` (feature `tracing`).
//!
//! # Costs
//!
//! An observed layer copies the head of each request that may become a stream, since the request is gone when the
//! stream opens, and allocates one box for each stream. A layer without observers does neither.

pub(crate) mod dispatch;
pub(crate) mod link;

use std::{any::TypeId, error::Error, fmt, sync::Arc, time::Duration};

#[cfg(feature = "metrics")]
pub use crate::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use crate::tracing::Tracing;
use crate::{
    event::gap::Gap,
    negotiate::{refusal::Refusal, request_head::RequestHead},
};

/// An observer of the streams of a layer, and of the requests for a stream that the layer refuses.
///
/// `Arc` and `Box` forward to the observer inside, so that several layers and other code can share one.
pub trait Observer: Send + Sync + 'static {
    /// Reports that the head of a stream is about to be sent. Returns an observer of this stream, or `None` to ignore
    /// it.
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>>;

    /// Reports that a request for a stream was refused before a head was sent.
    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let _ = (head, refusal);
    }

    /// Returns an identity that all values share which are the same observer. Several layers with the same observer
    /// report each stream to it once.
    ///
    /// Defaults to `None`: an observer is the same only as itself, as in clones of a layer. An observer in an [`Arc`]
    /// without an identity of its own is identified by what the `Arc` points to.
    fn identity(&self) -> Option<ObserverId> {
        None
    }
}

/// The identity of an [`Observer`], which is only compared for equality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverId(Identity);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Shared(usize),
    Value(TypeId, String),
}

impl ObserverId {
    /// Creates an identity from what the values share. It is valid for as long as the value in the `Arc` lives.
    #[must_use]
    pub fn of_shared<T: ?Sized>(shared: &Arc<T>) -> Self {
        Self(Identity::Shared(Arc::as_ptr(shared).cast::<()>().addr()))
    }

    /// Creates an identity of all values of type `T` that have this text in common, for example their labels.
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

/// Forwards to the observer inside.
impl<O: Observer + ?Sized> Observer for Box<O> {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        (**self).opened(head)
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        (**self).refused(head, refusal);
    }

    fn identity(&self) -> Option<ObserverId> {
        (**self).identity()
    }
}

/// An observer of one stream. [`closed`](Self::closed) is called last, exactly once, however the stream ends.
pub trait StreamObserver: Send + 'static {
    /// Reports the first event, and the time since the head.
    fn first_event(&mut self, after: Duration) {
        let _ = after;
    }

    /// Reports a frame, and what it contains.
    fn sent(&mut self, sent: &Sent) {
        let _ = sent;
    }

    /// Reports a gap: the client has missed events, and receives a gap event.
    ///
    /// A slow client determines how often that happens. This is therefore called for the first gap of a stream, and
    /// then at most once in 10 s. [`Sent::gaps`] counts all of them.
    fn lagged(&mut self, gap: &Gap) {
        let _ = gap;
    }

    /// Reports the end of the stream.
    fn closed(&mut self, closed: &Closed<'_>) {
        let _ = closed;
    }
}

/// The contents of one frame, or of all frames of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The number of events, without heartbeats.
    pub events: u64,
    /// The number of bytes of the body, before any framing, with heartbeats and prelude.
    pub bytes: u64,
    /// The number of heartbeats, both comments and named events.
    pub heartbeats: u64,
    /// The number of gaps that the client was informed of.
    pub gaps: u64,
}

/// The end of a stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed<'a> {
    /// The reason for the end.
    pub reason: Reason,
    /// The error of the stream or the event service, if the reason is [`Failed`](Reason::Failed) or
    /// [`Refused`](Reason::Refused), or the [cause](crate::access::AccessRevoked), if it is
    /// [`Revoked`](Reason::Revoked).
    pub error: Option<&'a (dyn Error + Send + Sync + 'static)>,
    /// The time since the head.
    pub duration: Duration,
    /// The contents of all frames. The client may have received less.
    pub totals: Sent,
}

/// The reason for which a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The stream of events came to its end.
    Finished,
    /// The stream of events, or a decorated body, returned an error.
    Failed,
    /// The stream of events, a decorated body, or an event service whose head was sent before its answer, panicked.
    Panicked,
    /// A [drain](crate::streams::Streams::drain) ended the stream.
    Drained,
    /// The stream reached its [longest lifetime](crate::StreamSettings::lifetime).
    Lifetime,
    /// The stream reached its [deadline](crate::StreamSettings::deadline).
    Deadline,
    /// [Access](crate::access) was revoked, or the stream was [ended by its key](crate::streams::Streams::end_key).
    Revoked,
    /// The stream fell behind the events that its topics keep, and the client is to reconnect.
    Lagged,
    /// All topics of the stream are closed.
    TopicClosed,
    /// The event service answered after the head was sent, with a refusal, with something that is not an event stream,
    /// or with a stream in a content coding.
    Refused,
    /// The connection was closed while the stream waited for events.
    ClientGone,
    /// The client did not read for the [stall timeout](crate::streams::StreamsBuilder::stall_timeout), 5 min by
    /// default. Either the watchdog found it, or the connection was closed. In a drain, a second is enough for a stream
    /// that is to leave.
    Stalled,
}

impl Reason {
    /// Returns a short label for the reason. It is the same in each release; logs and metrics use it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Drained => "drained",
            Self::Lifetime => "lifetime",
            Self::Deadline => "deadline",
            Self::Revoked => "access revoked",
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
