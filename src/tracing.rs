//! A span for each stream (feature `tracing`).
//!
//! [`Tracing`] opens a span `sse.stream` within the span of the request, at level `INFO`. It lives as long as the stream, which
//! is much longer than the request's: its fields `reason`, `events`, `bytes` and `heartbeats` are recorded at its end, when
//! `stream closed` is logged within it. A gap is a `WARN`, a failure an `ERROR` with its sources.

use std::{error::Error, time::Duration};

use tracing::{Span, debug, error, field, info, info_span, warn};

use crate::{Closed, Observer, Reason, Refusal, RequestHead, StreamObserver, hub::Gap};

/// An [`Observer`] that traces.
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
        let why = refusal.source().map(in_one_line);
        info!(method = %head.method(), path = head.uri().path(), status, why, "stream refused");
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
        let why = closed.error.map(in_one_line);
        match reason {
            Reason::Failed | Reason::Panicked => error!(parent: &self.0, %reason, why, ?duration, "stream closed"),
            _ => info!(parent: &self.0, %reason, why, ?duration, "stream closed"),
        }
    }
}

/// An error and its sources.
fn in_one_line(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}
