//! Calls to the observers of a stream, one after the other. A panic in one of them ends nothing, and the others are
//! called.

use std::{error::Error, fmt, mem, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Closed, Observer, Reason, Sent, StreamObserver};
use crate::{
    event::gap::Gap,
    negotiate::{refusal::Refusal, request_head::OwnedHead},
    panic,
};

/// Returns `true` if two observers are the same: one value, or two with the same identity.
pub(crate) fn is_same(one: &Arc<dyn Observer>, other: &Arc<dyn Observer>) -> bool {
    let identity = |observer: &Arc<dyn Observer>| panic::catch(|| observer.identity()).flatten();
    Arc::ptr_eq(one, other) || identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Reports an open stream to these observers, in order. Returns `None` if all of them ignore it.
pub(crate) fn opened<'a>(
    head: &OwnedHead,
    observers: impl Iterator<Item = &'a Arc<dyn Observer>>,
) -> Option<Box<StreamObservers>> {
    let mut first: Option<Box<StreamObservers>> = None;
    for observer in observers {
        let Some(stream) = panic::catch(|| observer.opened(&head.head())).flatten() else { continue };
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
        panic::catch(|| observer.refused(&head.head(), refusal));
    }
}

/// The observers of one stream, as a linked list with one node for each.
pub(crate) struct StreamObservers {
    stream: Box<dyn StreamObserver>,
    /// The time at which the head was sent.
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

    /// Reports a frame.
    pub(crate) fn sent(&mut self, sent: Sent) {
        self.each(|node| node.record_frame(sent));
    }

    /// Reports a gap, or counts it if the last report was less than 10 s ago.
    pub(crate) fn lagged(&mut self, gap: &Gap) {
        self.each(|node| node.record_gap(gap));
    }

    /// Reports the end, and drops the observers.
    pub(crate) fn closed(self: Box<Self>, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let mut list = Some(self);
        while let Some(mut node) = list {
            list = node.next.take();
            let Self { mut stream, opened, mut totals, gaps, .. } = *node;
            totals.gaps += gaps.count;
            let closed = Closed { reason, error, duration: opened.elapsed(), totals };
            panic::catch(|| stream.closed(&closed));
            panic::catch(|| drop(stream));
        }
    }

    fn record_gap(&mut self, gap: &Gap) {
        self.gaps.count += 1;
        let now = Instant::now();
        if self.gaps.next_report.is_none_or(|next| next <= now) {
            self.gaps.next_report = Some(now + GAP_REPORTS);
            panic::catch(|| self.stream.lagged(gap));
        }
    }

    fn record_frame(&mut self, mut sent: Sent) {
        sent.gaps = mem::take(&mut self.gaps.count);
        if self.totals.events == 0 && sent.events > 0 {
            let after = self.opened.elapsed();
            panic::catch(|| self.stream.first_event(after));
        }
        self.totals.events += sent.events;
        self.totals.bytes += sent.bytes;
        self.totals.heartbeats += sent.heartbeats;
        self.totals.gaps += sent.gaps;
        panic::catch(|| self.stream.sent(&sent));
    }

    /// Calls this for each node.
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
        f.debug_struct("StreamObservers").field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// The gaps since the last frame, and the time from which the observer may be called for one again.
#[derive(Debug, Default)]
struct Gaps {
    count: u64,
    next_report: Option<Instant>,
}

/// The shortest time between two reports of gaps of one stream.
const GAP_REPORTS: Duration = Duration::from_secs(10);
