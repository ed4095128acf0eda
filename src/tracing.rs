//! A span for each stream (feature `tracing`).
//!
//! [`Tracing`] opens a span `sse.stream` within the span of the request, at level `INFO`. It lives as long as the stream, which
//! is much longer than the request's: its fields `reason`, `events`, `bytes`, `heartbeats` and `gaps` are recorded at its end,
//! when `stream closed` is logged within it. A gap is a `WARN`, a failure an `ERROR` with its sources.
//!
//! Given to a backplane it logs how a hub is fed: that the link is up is an `INFO`; a link that is down, a read that failed, an
//! entry that was skipped, with its id, and a new history, of which all subscribers are told, are a `WARN` each.
//!
//! No client and no foreign writer decides how much is logged. Of the gaps of a stream the first is logged, and of the entries that
//! are skipped the first, then at most one in 10 s; the field `more` says how many were left out before it.

use std::{
    error::Error,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Span, debug, error, field, info, info_span, trace, warn};

use crate::{
    event::gap::Gap,
    negotiate::refusal::Refusal,
    observe::link::{Link, LinkObserver},
};
use crate::{
    negotiate::request_head::RequestHead,
    observe::{Closed, Observer, ObserverId, Reason, Sent, StreamObserver},
};

/// An [`Observer`] and [`LinkObserver`] that traces.
///
/// ```
/// use tower_sse::{SseLayer, tracing::Tracing};
///
/// let layer = SseLayer::decorate().observer(Tracing::new());
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it traces nothing until a layer has it"]
pub struct Tracing {
    skipped: Arc<Mutex<Pace>>,
}

struct Traced {
    span: Span,
    /// The gaps that were counted so far.
    gaps: u64,
    /// Those among them that were logged, or left out before one that was.
    logged: u64,
}

/// When something may be logged again, and how often it was left out since it was.
#[derive(Debug, Default)]
struct Pace {
    next: Option<Instant>,
    more: u64,
}

impl Pace {
    /// Returns how many were left out, if this one is to be logged.
    fn pass(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.more += 1;
            return None;
        }
        self.next = Some(now + PACE);
        Some(mem::take(&mut self.more))
    }
}

const PACE: Duration = Duration::from_secs(10);

impl Tracing {
    /// One that says method and path of a request, and no query: that may hold a ticket.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Observer for Tracing {
    fn identity(&self) -> Option<ObserverId> {
        Some(ObserverId::of_values::<Self>(""))
    }

    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        let span = info_span!(
            "sse.stream",
            method = %head.method(),
            path = head.uri().path(),
            reason = field::Empty,
            events = field::Empty,
            bytes = field::Empty,
            heartbeats = field::Empty,
            gaps = field::Empty,
        );
        debug!(parent: &span, "stream opened");
        Some(Box::new(Traced { span, gaps: 0, logged: 0 }))
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let status = refusal.status_for(head.method()).as_u16();
        let why = refusal.source().map(|error| in_one_line(error));
        info!(method = %head.method(), path = head.uri().path(), status, why, "stream refused");
    }
}

impl LinkObserver for Tracing {
    fn link(&self, link: Link) {
        match link {
            Link::Up => info!("link up"),
            Link::Down => warn!("link down"),
            Link::Connecting => debug!("link connecting"),
        }
    }

    fn read(&self, events: usize, lag: Duration) {
        trace!(events, ?lag, "events read");
    }

    fn failed(&self, error: &(dyn Error + 'static)) {
        warn!(why = in_one_line(error), "reading failed");
    }

    fn skipped(&self, id: &str, why: &str) {
        let pass = self.skipped.lock().unwrap_or_else(PoisonError::into_inner).pass();
        if let Some(more) = pass {
            warn!(id, why, more = some(more), "entry skipped");
        }
    }

    fn renewed(&self, why: &str) {
        warn!(why, "a new history has begun, and all are told a gap");
    }
}

impl StreamObserver for Traced {
    fn first_event(&mut self, after: Duration) {
        debug!(parent: &self.span, ?after, "first event");
    }

    fn sent(&mut self, sent: &Sent) {
        self.gaps += sent.gaps;
    }

    fn lagged(&mut self, gap: &Gap) {
        let from = gap.from.as_ref().map(field::display);
        let more = self.gaps.saturating_sub(self.logged);
        // This one is counted with its frame.
        self.logged = self.gaps + 1;
        warn!(parent: &self.span, from, to = %gap.to, more = some(more), "the client has missed events");
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        let Closed { reason, totals, duration, .. } = closed;
        self.span.record("reason", reason.as_str());
        self.span.record("events", totals.events);
        self.span.record("bytes", totals.bytes);
        self.span.record("heartbeats", totals.heartbeats);
        if totals.gaps > 0 {
            self.span.record("gaps", totals.gaps);
        }
        let why = closed.error.map(|error| in_one_line(error));
        match reason {
            Reason::Failed | Reason::Panicked => error!(parent: &self.span, %reason, why, ?duration, "stream closed"),
            _ => info!(parent: &self.span, %reason, why, ?duration, "stream closed"),
        }
    }
}

/// Returns a field for a number that is there only if there is something to count.
fn some(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

/// An error and its sources.
fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}
