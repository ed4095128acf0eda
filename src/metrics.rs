//! Numbers about streams, for the [`metrics`] facade (feature `metrics`).
//!
//! Install any recorder, and give [`Metrics`] to a layer. What it records:
//!
//! | metric | | labels |
//! |---|---|---|
//! | `sse_streams_open` | gauge | |
//! | `sse_streams_opened_total` | counter | |
//! | `sse_streams_refused_total` | counter | `status`; `why`: a [`AdmissionError`], with `_` for spaces, `hub_full`, or `other` |
//! | `sse_streams_closed_total` | counter | `reason`: a [`Reason`](crate::Reason), with `_` for spaces |
//! | `sse_events_sent_total` | counter | |
//! | `sse_bytes_sent_total` | counter | |
//! | `sse_heartbeats_sent_total` | counter | |
//! | `sse_gaps_total` | counter | |
//! | `sse_first_event_seconds` | histogram | |
//! | `sse_stream_duration_seconds` | histogram | |
//!
//! Given to a backplane, as by `Redis::observer`, it records how a hub is fed:
//!
//! | metric | | |
//! |---|---|---|
//! | `sse_backplane_up` | gauge | 1, or 0 while what feeds the hub cannot be reached |
//! | `sse_backplane_lost_total` | counter | how often it could not be reached any more |
//! | `sse_backplane_failures_total` | counter | reads that failed, each attempt to connect among them |
//! | `sse_backplane_events_total` | counter | events that were read |
//! | `sse_backplane_lag_seconds` | histogram | how long after it was published the newest of them was read, by the clocks of both |
//! | `sse_backplane_skipped_total` | counter | entries that are no events |
//! | `sse_backplane_renewed_total` | counter | new histories: a gap for all subscribers |
//!
//! Each call of [`Metrics::record`] records the [health](Hub::health) of a hub:
//!
//! | metric | | |
//! |---|---|---|
//! | `sse_hub_topics` | gauge | topics that there are |
//! | `sse_hub_topics_held` | gauge | those that stay, since something holds them; at the limit of topics, new names are refused |
//! | `sse_hub_bytes` | gauge | what they keep |
//! | `sse_hub_refused_total` | counter | topics and subscriptions that were refused since all topics were held |
//! | `sse_hub_topics_evicted_total` | counter | topics that made room for others |
//! | `sse_hub_keys_evicted_total` | counter | keyed values that made room for others |
//!
//! [`Metrics::new`] describes them, with their units, to the recorder that is installed by then.
//!
//! Each has the labels that [`Metrics::label`] adds. They are looked up when a stream opens, not for each event.
//!
//! [`metrics`]: https://docs.rs/metrics

use std::{error::Error, time::Duration};

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::{
    hub::{error::TopicError, handle::Hub},
    negotiate::refusal::Refusal,
    observe::link::{Link, LinkObserver},
    streams::error::AdmissionError,
};
use crate::{
    negotiate::request_head::RequestHead,
    observe::{Closed, Observer, ObserverId, Sent, StreamObserver},
};

/// An [`Observer`] and [`LinkObserver`] that records numbers.
///
/// ```
/// use tower_sse::{SseLayer, metrics::Metrics};
///
/// let layer = SseLayer::decorate().observer(Metrics::new().label("service", "prices"));
/// ```
#[derive(Debug, Clone)]
#[must_use = "it records nothing until a layer has it"]
pub struct Metrics {
    labels: Vec<Label>,
}

struct Recorded {
    labels: Vec<Label>,
    open: Gauge,
    events: Counter,
    bytes: Counter,
    heartbeats: Counter,
    gaps: Counter,
}

impl Metrics {
    /// Without labels. Describes the metrics: install the recorder before.
    pub fn new() -> Self {
        describe();
        Self { labels: Vec::new() }
    }

    /// Records how full a hub is. Call it before the recorder is read, or every few seconds.
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

    /// Adds a label to each metric: its name, and its value. Default: none.
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
    /// Values with the same labels record the same metrics.
    fn identity(&self) -> Option<ObserverId> {
        Some(ObserverId::of_values::<Self>(format!("{:?}", self.labels)))
    }

    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        counter!("sse_streams_opened_total", self.labels.iter()).increment(1);
        let recorded = Recorded {
            open: gauge!("sse_streams_open", self.labels.iter()),
            events: counter!("sse_events_sent_total", self.labels.iter()),
            bytes: counter!("sse_bytes_sent_total", self.labels.iter()),
            heartbeats: counter!("sse_heartbeats_sent_total", self.labels.iter()),
            gaps: counter!("sse_gaps_total", self.labels.iter()),
            labels: self.labels.clone(),
        };
        recorded.open.increment(1);
        Some(Box::new(recorded))
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let mut labels = with(&self.labels, "status", refusal.status_for(head.method()).as_str());
        // A client is to come later in each case, whoever operates it is to do something else in each.
        let not_admitted = refusal.source().and_then(|source| source.downcast_ref::<AdmissionError>());
        let is_hub_full = || refusal.source().and_then(|source| source.downcast_ref()).is_some_and(TopicError::is_full);
        let other = || if is_hub_full() { "hub full" } else { "other" };
        labels.push(label("why", not_admitted.map_or_else(other, |why| why.as_str())));
        counter!("sse_streams_refused_total", labels.iter()).increment(1);
    }
}

impl LinkObserver for Metrics {
    fn link(&self, link: Link) {
        gauge!("sse_backplane_up", self.labels.iter()).set(if link == Link::Up { 1.0 } else { 0.0 });
        // Registered with the first that is told, so that a rate has where to begin.
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

impl StreamObserver for Recorded {
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

impl Recorded {
    fn histogram(&self, name: &'static str) -> Histogram {
        histogram!(name, self.labels.iter())
    }
}

/// What a recorder shows beside each of them.
fn describe() {
    describe_gauge!("sse_streams_open", Unit::Count, "Event streams that are open.");
    describe_counter!("sse_streams_opened_total", Unit::Count, "Event streams that were opened.");
    describe_counter!("sse_streams_refused_total", Unit::Count, "Event streams that were refused, by status and why.");
    describe_counter!("sse_streams_closed_total", Unit::Count, "Event streams that have ended, by reason.");
    describe_counter!("sse_events_sent_total", Unit::Count, "Events that were given to connections.");
    describe_counter!("sse_bytes_sent_total", Unit::Bytes, "Bytes of event streams that were given to connections.");
    describe_counter!("sse_heartbeats_sent_total", Unit::Count, "Heartbeats that were given to connections.");
    describe_counter!("sse_gaps_total", Unit::Count, "Times that a client was told that it has missed something.");
    describe_histogram!("sse_first_event_seconds", Unit::Seconds, "From the head of a stream to its first event.");
    describe_histogram!("sse_stream_duration_seconds", Unit::Seconds, "From the head of a stream to its end.");
    describe_gauge!("sse_backplane_up", Unit::Count, "1 while what feeds the hub can be reached, else 0.");
    describe_counter!(
        "sse_backplane_lost_total",
        Unit::Count,
        "Times that what feeds the hub could not be reached any more."
    );
    describe_counter!("sse_backplane_failures_total", Unit::Count, "Reads of what feeds the hub that failed.");
    describe_counter!("sse_backplane_events_total", Unit::Count, "Events that were read from what feeds the hub.");
    describe_histogram!(
        "sse_backplane_lag_seconds",
        Unit::Seconds,
        "From the publish of an event to its being read here."
    );
    describe_counter!("sse_backplane_skipped_total", Unit::Count, "Entries of what feeds the hub that are no events.");
    describe_counter!("sse_backplane_renewed_total", Unit::Count, "New histories: a gap for all subscribers.");
    describe_gauge!("sse_hub_topics", Unit::Count, "Topics that there are.");
    describe_gauge!("sse_hub_topics_held", Unit::Count, "Topics that stay, since something holds them.");
    describe_gauge!("sse_hub_bytes", Unit::Bytes, "Bytes that all topics keep.");
    describe_counter!("sse_hub_refused_total", Unit::Count, "Refused since all topics were held.");
    describe_counter!("sse_hub_topics_evicted_total", Unit::Count, "Topics that made room for others.");
    describe_counter!("sse_hub_keys_evicted_total", Unit::Count, "Keyed values that made room for others.");
}

fn with(labels: &[Label], name: &'static str, value: &str) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(label(name, value));
    labels
}

fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.replace(' ', "_"))
}
