//! A span for each stream (feature `tracing`).
//!
//! [`Tracing`] opens a span `sse.stream` within the span of the request, at level `INFO`. It lives as long as the stream, which
//! is much longer than the request's: its fields `reason`, `events`, `bytes` and `heartbeats` are recorded at its end, when
//! `stream closed` is logged within it. A gap is a `WARN`, a failure an `ERROR` with its sources.
//!
//! Given to a backplane it logs how a hub is fed: that the link is up is an `INFO`; a link that is down, a read that failed, an
//! entry that was skipped, with its id, and a new history, of which all subscribers are told, are a `WARN` each.

use std::{error::Error, time::Duration};

use tracing::{Span, debug, error, field, info, info_span, trace, warn};

use crate::{
    Closed, Observer, ObserverId, Reason, Refusal, RequestHead, StreamObserver,
    backplane::{Link, LinkObserver},
    hub::Gap,
};

/// An [`Observer`] and [`LinkObserver`] that traces.
///
/// ```
/// use tower_sse::{SseLayer, tracing::Tracing};
///
/// let layer = SseLayer::decorate().observer(Tracing::new());
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "it traces nothing until a layer has it"]
pub struct Tracing(());

struct Traced(Span);

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
        );
        debug!(parent: &span, "stream opened");
        Some(Box::new(Traced(span)))
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
        warn!(id, why, "entry skipped");
    }

    fn renewed(&self, why: &str) {
        warn!(why, "a new history has begun, and all are told a gap");
    }
}

impl StreamObserver for Traced {
    fn first_event(&mut self, after: Duration) {
        debug!(parent: &self.0, ?after, "first event");
    }

    fn lagged(&mut self, gap: &Gap) {
        let from = gap.from.as_ref().map(field::display);
        warn!(parent: &self.0, from, to = %gap.to, "the client has missed events");
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        let Closed { reason, totals, duration, .. } = closed;
        self.0.record("reason", reason.as_str());
        self.0.record("events", totals.events);
        self.0.record("bytes", totals.bytes);
        self.0.record("heartbeats", totals.heartbeats);
        let why = closed.error.map(|error| in_one_line(error));
        match reason {
            Reason::Failed | Reason::Panicked => error!(parent: &self.0, %reason, why, ?duration, "stream closed"),
            _ => info!(parent: &self.0, %reason, why, ?duration, "stream closed"),
        }
    }
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
