//! An observer that records a span for each stream (feature `tracing`).

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
    negotiate::{refusal::Refusal, request_head::RequestHead},
    observe::{
        Closed, Observer, ObserverId, Reason, Sent, StreamObserver,
        link::{Link, LinkObserver},
    },
};

/// An [`Observer`] and [`LinkObserver`](crate::backplane::LinkObserver) that records spans and events by the
/// [`tracing`] facade (feature `tracing`).
///
/// ```
/// use tower_sse::{SseLayer, observe::Tracing};
///
/// let layer = SseLayer::decorate().observer(Tracing::new());
/// ```
///
/// On a layer it opens a span `sse.stream` for each stream, at level `INFO`, within the span of the request. It lives
/// as long as the stream, which is much longer than the request's. It has the method and the path of the request,
/// without the query, which may hold a ticket. The fields `reason`, `events`, `bytes`, `heartbeats` and `gaps` are
/// recorded at the end of the stream, when `stream closed` is logged within the span. A gap is a `WARN`, a failure an
/// `ERROR`. Errors are in the field `error`, each in one line with its sources.
///
/// On a backplane it logs the state of the link. *Link up* is an `INFO`. *Link down*, a failed read, a skipped entry
/// with its id, and a new epoch, which is a gap for all subscribers, are a `WARN` each. The field `reason` says why an entry
/// was skipped, or an epoch begun.
///
/// Neither a client nor another publisher can flood the log. Of the gaps of a stream, and of the skipped entries, the
/// first is logged, and then at most one in 10 s. The field `more` counts those that were left out before it.
///
/// [`tracing`]: https://docs.rs/tracing
#[derive(Debug, Clone, Default)]
#[must_use = "it traces nothing until it is added to a layer or a backplane"]
pub struct Tracing {
    skipped: Arc<Mutex<LogLimit>>,
}

/// The span of one stream.
struct StreamSpan {
    span: Span,
    /// The number of gaps so far.
    gaps: u64,
    /// The number of gaps up to the last one that was logged.
    logged: u64,
}

/// A limit for messages that others can cause: one in [`LOG_PERIOD`].
#[derive(Debug, Default)]
struct LogLimit {
    next: Option<Instant>,
    /// The number of messages that were left out since the last one.
    more: u64,
}

impl LogLimit {
    /// Returns the number of messages that were left out before this one, or `None` if this one is left out, too.
    fn pass(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.more += 1;
            return None;
        }
        self.next = Some(now + LOG_PERIOD);
        Some(mem::take(&mut self.more))
    }
}

/// The shortest time between two messages of a kind.
const LOG_PERIOD: Duration = Duration::from_secs(10);

impl Tracing {
    /// Creates an observer.
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
        Some(Box::new(StreamSpan { span, gaps: 0, logged: 0 }))
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let status = refusal.status_for(head.method()).as_u16();
        let error = refusal.source().map(|error| with_sources(error));
        info!(method = %head.method(), path = head.uri().path(), status, error, "stream refused");
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
        warn!(error = with_sources(error), "reading failed");
    }

    fn skipped(&self, id: &str, reason: &str) {
        let pass = self.skipped.lock().unwrap_or_else(PoisonError::into_inner).pass();
        if let Some(more) = pass {
            warn!(id, reason, more = non_zero(more), "entry skipped");
        }
    }

    fn renewed(&self, reason: &str) {
        warn!(reason, "new epoch, a gap for all subscribers");
    }
}

impl StreamObserver for StreamSpan {
    fn first_event(&mut self, after: Duration) {
        debug!(parent: &self.span, ?after, "first event");
    }

    fn sent(&mut self, sent: &Sent) {
        self.gaps += sent.gaps;
    }

    fn lagged(&mut self, gap: &Gap) {
        let from = gap.from.as_ref().map(field::display);
        let more = self.gaps.saturating_sub(self.logged);
        // This gap is counted with its frame, later.
        self.logged = self.gaps + 1;
        warn!(parent: &self.span, from, to = %gap.to, more = non_zero(more), "client missed events");
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
        let error = closed.error.map(|error| with_sources(error));
        match reason {
            Reason::Failed | Reason::Panicked => error!(parent: &self.span, %reason, error, ?duration, "stream closed"),
            _ => info!(parent: &self.span, %reason, error, ?duration, "stream closed"),
        }
    }
}

/// Returns a number as a field, or `None` for zero.
fn non_zero(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

/// Returns the messages of an error and its sources, in one line.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}
