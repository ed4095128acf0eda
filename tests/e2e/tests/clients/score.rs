//! Events that are hard to read, and a service that plays them with heartbeats between.

use std::sync::Arc;

use futures_util::{Stream, stream};
use http::Request;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower_sse::{
    Event, Events, LastEventId, Refusal, RequestHead, Source, event_id, event_name,
    observe::{Observer, Sent, StreamObserver},
};

/// The events to send: to each connection a few of these, from the client's last id, then nothing.
#[derive(Clone)]
pub(crate) struct Score {
    events: Arc<[Event]>,
    at_once: usize,
}

impl Score {
    /// Each connection ends after so many events.
    pub(crate) fn new(events: impl Into<Arc<[Event]>>, at_once: usize) -> Self {
        Self { events: events.into(), at_once }
    }

    /// Names, ids, an event without an id in a connection of its own, several lines, spaces, and more than fits into a frame.
    pub(crate) fn hard() -> Self {
        let named = || Event::builder().name(event_name!("price"));
        let events = [
            Event::new("one").with_id(1),
            named().id(event_id!("b-2")).data("first\nsecond\n\n third"),
            Event::new("without an id"),
            named().id(4).data(""),
            Event::new("na\u{ef}ve \u{2603} \u{1d11e}").with_id(5),
            Event::new(" a space before, a break after\n").with_id(6),
            Event::new("long ".repeat(4000)).with_id(7),
            Event::new(r#"{"id: 9":"data: no","event":"\\n"}"#).with_id(event_id!("8 ok")),
        ];
        Self::new(events, 2)
    }

    /// Returns the number of connections after which a client has received all of it.
    pub(crate) fn connections(&self) -> usize {
        self.events.len().div_ceil(self.at_once)
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the expected report of a client: names, data, and the last event id after each.
    pub(crate) fn report(&self) -> Vec<Value> {
        let mut last = String::new();
        let seen = self.events.iter().map(|event| {
            if let Some(id) = event.id() {
                id.as_str().clone_into(&mut last);
            }
            json!({ "event": event.name().unwrap_or("message"), "data": event.data(), "id": last })
        });
        seen.collect()
    }

    /// The event service.
    pub(crate) fn play<B>(&self, request: &Request<B>) -> Result<Events<impl Source + use<B>>, Refusal> {
        let next = match LastEventId::of(request) {
            None => 0,
            Some(last) => self.after(&last).ok_or_else(Refusal::stop)?,
        };
        let until = (next + self.at_once).min(self.events.len());
        if next == until {
            return Err(Refusal::stop());
        }
        let beats = request.extensions().get::<Beats>().expect("the server notes it").clone();
        Ok(Events::new(between_heartbeats(Arc::clone(&self.events), next..until, beats)))
    }

    fn after(&self, last: &LastEventId) -> Option<usize> {
        let is_last = |event: &Event| event.id().is_some_and(|id| id.as_str().as_bytes() == last.as_bytes());
        Some(self.events.iter().position(is_last)? + 1)
    }
}

/// Waits for heartbeats before each event, and before the end.
fn between_heartbeats(
    events: Arc<[Event]>,
    range: std::ops::Range<usize>,
    beats: Beats,
) -> impl Stream<Item = Event> + Send {
    stream::unfold((range, beats), move |(mut range, beats)| {
        let events = Arc::clone(&events);
        async move {
            let mut heard = beats.0.subscribe();
            let enough = *heard.borrow() + BETWEEN;
            heard.wait_for(|&heartbeats| heartbeats >= enough).await.ok()?;
            Some((events[range.next()?].clone(), (range, beats)))
        }
    })
}

/// The number of heartbeats of one stream. The server attaches it to a request, the observer counts, the source waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beats(Arc<watch::Sender<u64>>);

/// Counts heartbeats.
pub(crate) struct Count;

impl Observer for Count {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        let beats = head.extensions().get::<Beats>()?.clone();
        Some(Box::new(beats))
    }
}

impl StreamObserver for Beats {
    fn sent(&mut self, sent: &Sent) {
        self.0.send_modify(|heartbeats| *heartbeats += sent.heartbeats);
    }
}

/// Between any two events, before the first and after the last.
const BETWEEN: u64 = 3;
