//! An observer that records metrics (feature `metrics`).

use std::{error::Error, time::Duration};

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::{
    hub::{error::TopicError, handle::Hub},
    negotiate::{refusal::Refusal, request_head::RequestHead},
    observe::{
        Closed, Observer, ObserverId, Sent, StreamObserver,
        link::{Link, LinkObserver},
    },
    streams::error::AdmissionError,
};

/// An [`Observer`] and [`LinkObserver`](crate::backplane::LinkObserver) that records metrics by the [`metrics`] facade
/// (feature `metrics`).
///
/// Install any recorder, and add this observer to a layer:
///
/// ```
/// use tower_sse::{SseLayer, observe::Metrics};
///
/// let layer = SseLayer::decorate().observer(Metrics::new().label("service", "prices"));
/// ```
///
/// # Metrics
///
/// A layer records:
///
/// | metric | | labels |
/// |---|---|---|
/// | `sse_streams_open` | gauge | |
/// | `sse_streams_opened_total` | counter | |
/// | `sse_streams_refused_total` | counter | `status`; `cause`: an [`AdmissionError`](crate::streams::AdmissionError), with `_` for spaces, `hub_full`, or `other` |
/// | `sse_streams_closed_total` | counter | `reason`: a [`Reason`](crate::observe::Reason), with `_` for spaces |
/// | `sse_events_sent_total` | counter | |
/// | `sse_bytes_sent_total` | counter | |
/// | `sse_heartbeats_sent_total` | counter | |
/// | `sse_gaps_total` | counter | |
/// | `sse_first_event_seconds` | histogram | |
/// | `sse_stream_duration_seconds` | histogram | |
///
/// A backplane, with `Redis::observer` for example, records:
///
/// | metric | | |
/// |---|---|---|
/// | `sse_backplane_up` | gauge | 1, or 0 while the backplane cannot be reached |
/// | `sse_backplane_lost_total` | counter | losses of the connection |
/// | `sse_backplane_failures_total` | counter | failed reads, including each attempt to connect |
/// | `sse_backplane_events_total` | counter | events that were read |
/// | `sse_backplane_lag_seconds` | histogram | time from the publish of the newest event to its read, by the clocks of both nodes |
/// | `sse_backplane_skipped_total` | counter | entries that are not events |
/// | `sse_backplane_renewed_total` | counter | new epochs: a gap for all subscribers |
///
/// Each call of [`record`](Self::record) records the [health](Hub::health) of a hub:
///
/// | metric | | |
/// |---|---|---|
/// | `sse_hub_topics` | gauge | topics |
/// | `sse_hub_topics_held` | gauge | topics that cannot be evicted; at the limit of topics, new names are refused |
/// | `sse_hub_bytes` | gauge | bytes that all topics keep |
/// | `sse_hub_refused_total` | counter | topics and subscriptions that were refused since no topic could be evicted |
/// | `sse_hub_topics_evicted_total` | counter | topics that were evicted |
/// | `sse_hub_keys_evicted_total` | counter | keyed values that were evicted |
///
/// Each has the labels that [`label`](Self::label) adds. Metrics are looked up when a stream opens, not for each event.
///
/// [`metrics`]: https://docs.rs/metrics
#[derive(Debug, Clone)]
#[must_use = "it records nothing until it is added to a layer or a backplane"]
pub struct Metrics {
    labels: Vec<Label>,
}

/// The metrics of one stream.
struct StreamMetrics {
    labels: Vec<Label>,
    open: Gauge,
    events: Counter,
    bytes: Counter,
    heartbeats: Counter,
    gaps: Counter,
}

impl Metrics {
    /// Creates an observer without labels. Describes the metrics, with their units, to the recorder that is installed
    /// by then.
    pub fn new() -> Self {
        describe();
        Self { labels: Vec::new() }
    }

    /// Records the health of a hub. Call it before each scrape of the recorder, or every few seconds.
    pub fn record(&self, hub: &Hub) {
        let health = hub.health();
        let gauges = [
            ("sse_hub_topics", health.topics),
            ("sse_hub_topics_held", health.held_topics),
            ("sse_hub_bytes", health.bytes),
        ];
        for (name, value) in gauges {
            gauge!(name, self.labels.iter()).set(value as f64);
        }
        let counters = [
            ("sse_hub_refused_total", health.refused),
            ("sse_hub_topics_evicted_total", health.evicted_topics),
            ("sse_hub_keys_evicted_total", health.evicted_keys),
        ];
        for (name, value) in counters {
            counter!(name, self.labels.iter()).absolute(value);
        }
    }

    /// Adds a label to each metric. Defaults to none.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(name.into(), value.into()));
        self
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    fn count(&self, name: &'static str, number: u64) {
        counter!(name, self.labels.iter()).increment(number);
    }
}

impl Observer for Metrics {
    /// Observers with the same labels record the same metrics, so they have the same identity.
    fn identity(&self) -> Option<ObserverId> {
        Some(ObserverId::of_values::<Self>(format!("{:?}", self.labels)))
    }

    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        counter!("sse_streams_opened_total", self.labels.iter()).increment(1);
        let stream = StreamMetrics {
            open: gauge!("sse_streams_open", self.labels.iter()),
            events: counter!("sse_events_sent_total", self.labels.iter()),
            bytes: counter!("sse_bytes_sent_total", self.labels.iter()),
            heartbeats: counter!("sse_heartbeats_sent_total", self.labels.iter()),
            gaps: counter!("sse_gaps_total", self.labels.iter()),
            labels: self.labels.clone(),
        };
        stream.open.increment(1);
        Some(Box::new(stream))
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let mut labels = with(&self.labels, "status", refusal.status_for(head.method()).as_str());
        // A client retries later in each case, but an operator reacts to each in another way.
        let admission = refusal.source().and_then(|source| source.downcast_ref::<AdmissionError>());
        let is_hub_full = || refusal.source().and_then(|source| source.downcast_ref()).is_some_and(TopicError::is_full);
        let other = || if is_hub_full() { "hub full" } else { "other" };
        labels.push(label("cause", admission.map_or_else(other, |error| error.as_str())));
        counter!("sse_streams_refused_total", labels.iter()).increment(1);
    }
}

impl LinkObserver for Metrics {
    fn link(&self, link: Link) {
        gauge!("sse_backplane_up", self.labels.iter()).set(if link == Link::Up { 1.0 } else { 0.0 });
        // Registered with the first report, at zero, so that a rate is defined from there on.
        self.count("sse_backplane_lost_total", u64::from(link == Link::Down));
    }

    fn read(&self, events: usize, lag: Duration) {
        self.count("sse_backplane_events_total", events as u64);
        histogram!("sse_backplane_lag_seconds", self.labels.iter()).record(lag);
    }

    fn failed(&self, _: &(dyn Error + 'static)) {
        self.count("sse_backplane_failures_total", 1);
    }

    fn skipped(&self, _: &str, _: &str) {
        self.count("sse_backplane_skipped_total", 1);
    }

    fn renewed(&self, _: &str) {
        self.count("sse_backplane_renewed_total", 1);
    }
}

impl StreamObserver for StreamMetrics {
    fn first_event(&mut self, after: Duration) {
        self.histogram("sse_first_event_seconds").record(after);
    }

    fn sent(&mut self, sent: &Sent) {
        self.events.increment(sent.events);
        self.bytes.increment(sent.bytes);
        self.heartbeats.increment(sent.heartbeats);
        if sent.gaps > 0 {
            self.gaps.increment(sent.gaps);
        }
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        self.open.decrement(1);
        self.histogram("sse_stream_duration_seconds").record(closed.duration);
        let labels = with(&self.labels, "reason", closed.reason.as_str());
        counter!("sse_streams_closed_total", labels.iter()).increment(1);
    }
}

impl StreamMetrics {
    fn histogram(&self, name: &'static str) -> Histogram {
        histogram!(name, self.labels.iter())
    }
}

/// Describes the metrics to the installed recorder.
fn describe() {
    describe_gauge!("sse_streams_open", Unit::Count, "Event streams that are open.");
    describe_counter!("sse_streams_opened_total", Unit::Count, "Event streams that were opened.");
    describe_counter!(
        "sse_streams_refused_total",
        Unit::Count,
        "Event streams that were refused, by status and cause."
    );
    describe_counter!("sse_streams_closed_total", Unit::Count, "Event streams that have ended, by reason.");
    describe_counter!("sse_events_sent_total", Unit::Count, "Events that were sent.");
    describe_counter!("sse_bytes_sent_total", Unit::Bytes, "Bytes of event streams that were sent.");
    describe_counter!("sse_heartbeats_sent_total", Unit::Count, "Heartbeats that were sent.");
    describe_counter!("sse_gaps_total", Unit::Count, "Gaps that clients were informed of.");
    describe_histogram!("sse_first_event_seconds", Unit::Seconds, "Time from the head of a stream to its first event.");
    describe_histogram!("sse_stream_duration_seconds", Unit::Seconds, "Time from the head of a stream to its end.");
    describe_gauge!("sse_backplane_up", Unit::Count, "1 while the backplane can be reached, else 0.");
    describe_counter!("sse_backplane_lost_total", Unit::Count, "Losses of the connection to the backplane.");
    describe_counter!("sse_backplane_failures_total", Unit::Count, "Reads of the backplane that failed.");
    describe_counter!("sse_backplane_events_total", Unit::Count, "Events that were read from the backplane.");
    describe_histogram!(
        "sse_backplane_lag_seconds",
        Unit::Seconds,
        "Time from the publish of an event to its read on this node."
    );
    describe_counter!("sse_backplane_skipped_total", Unit::Count, "Backplane entries that are not events.");
    describe_counter!(
        "sse_backplane_renewed_total",
        Unit::Count,
        "New epochs of the backplane: a gap for all subscribers."
    );
    describe_gauge!("sse_hub_topics", Unit::Count, "Topics of the hub.");
    describe_gauge!("sse_hub_topics_held", Unit::Count, "Topics that cannot be evicted, since they are in use.");
    describe_gauge!("sse_hub_bytes", Unit::Bytes, "Bytes that all topics keep.");
    describe_counter!(
        "sse_hub_refused_total",
        Unit::Count,
        "Topics and subscriptions that were refused since no topic could be evicted."
    );
    describe_counter!("sse_hub_topics_evicted_total", Unit::Count, "Topics that were evicted.");
    describe_counter!("sse_hub_keys_evicted_total", Unit::Count, "Keyed values that were evicted.");
}

/// Returns the labels with one more.
fn with(labels: &[Label], name: &'static str, value: &str) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(label(name, value));
    labels
}

/// Returns a label, with `_` for spaces in its value.
fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.replace(' ', "_"))
}
