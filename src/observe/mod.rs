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

pub(crate) mod dispatch;
pub(crate) mod link;

use crate::negotiate::request_head::RequestHead;
use std::{any::TypeId, error::Error, fmt, sync::Arc, time::Duration};

use crate::{event::gap::Gap, negotiate::refusal::Refusal};

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
    /// [`Refused`](Reason::Refused); why, where it is [`AccessRevoked`](Reason::Revoked).
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
    /// [Access](crate::access) was withdrawn, or it was [ended by its key](crate::streams::Streams::end_key).
    Revoked,
    /// It was behind what its topics keep, and is to come back.
    Lagged,
    /// All its topics are closed.
    TopicClosed,
    /// The event service was late and then refused, or answered something that is no event stream, or one in a coding.
    Refused,
    /// The connection was gone while the stream waited for events.
    ClientGone,
    /// The client had not read for as long as [`stall_timeout`](crate::streams::StreamsBuilder::stall_timeout) says, 5 min by
    /// default: found by a watchdog, or when the connection was gone. In a drain a second is enough for a stream that is to
    /// leave.
    Stalled,
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
            Self::Revoked => "access withdrawn",
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
