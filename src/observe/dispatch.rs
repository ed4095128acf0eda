//! Calls to the observers of a stream, one after the other, with panics caught.

use crate::negotiate::refusal::Refusal;
use crate::negotiate::request_head::OwnedHead;
use std::{
    error::Error,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Closed, Observer, Reason, Sent, StreamObserver};
use crate::event::gap::Gap;

/// Returns whether two observers are the same one.
pub(crate) fn is_same(one: &Arc<dyn Observer>, other: &Arc<dyn Observer>) -> bool {
    let identity = |observer: &Arc<dyn Observer>| quietly(|| observer.identity()).flatten();
    Arc::ptr_eq(one, other) || identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Reports an open stream to these observers, in order. Returns `None` if none of them observes it.
pub(crate) fn opened<'a>(
    head: &OwnedHead,
    observers: impl Iterator<Item = &'a Arc<dyn Observer>>,
) -> Option<Box<StreamObservers>> {
    let mut first: Option<Box<StreamObservers>> = None;
    for observer in observers {
        let Some(stream) = quietly(|| observer.opened(&head.head())).flatten() else { continue };
        let observed = Box::new(StreamObservers {
            stream,
            opened: Instant::now(),
            totals: Sent::default(),
            gaps: Gaps::default(),
            next: None,
        });
        StreamObservers::append(&mut first, observed);
    }
    first
}

/// Reports a refusal to these observers, in order.
pub(crate) fn refused<'a>(head: &OwnedHead, observers: impl Iterator<Item = &'a Arc<dyn Observer>>, refusal: &Refusal) {
    for observer in observers {
        quietly(|| observer.refused(&head.head(), refusal));
    }
}

/// The observers of one stream: a list, one node for each.
pub(crate) struct StreamObservers {
    stream: Box<dyn StreamObserver>,
    /// When the head went out.
    opened: Instant,
    totals: Sent,
    gaps: Gaps,
    next: Option<Box<Self>>,
}

impl StreamObservers {
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

impl fmt::Debug for StreamObservers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// An observer that panics must not end the stream that it looks at.
fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// Gaps that have come since the last frame, and when the observer may be called for one again.
#[derive(Debug, Default)]
struct Gaps {
    count: u64,
    next_call: Option<Instant>,
}

/// The least time between two calls for gaps of one stream.
const GAP_CALLS: Duration = Duration::from_secs(10);
