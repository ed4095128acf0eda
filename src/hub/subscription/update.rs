//! The output of a subscription, encoded for event streams, and as values for any other use.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    Subscription,
    output::{Notice, NoticeAt, Output},
};
use crate::{
    answer::Events,
    body::source::{PollSource, Source, SourceOutput},
    event::{Event, chunk::Chunk, encode, field::EventId, gap::Gap},
    hub::{
        position::{Epoch, Position},
        settings::Settings,
        state::{
            found,
            found::{Budget, FoundEvent, Ids},
            frames::Slice,
        },
    },
    streams::resources::Detach,
};

/// An item of a [`Subscription`] as a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// The subscription has begun, at this position. `None` if a snapshot comes first, whose last event has the position.
    Subscribed(Option<EventId>),
    /// An event, with the hub's id. Events of a [snapshot](crate::hub::Start::Snapshot) have no id but the last, which has the
    /// position that the snapshot is of.
    Event {
        /// The topic in which the event was published.
        topic: Arc<str>,
        /// The event.
        event: Event,
    },
    /// Events may be missing. See [gaps](crate::hub#gaps).
    Gap(Gap),
}

/// Yields one update at a time. Ends after [lag](crate::hub::LagPolicy::Disconnect) or when all topics are closed; then
/// [`end_reason`](Subscription::end_reason) returns which.
impl Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_output(cx, Budget::ONE)) {
            Output::Events { notice: Some(notice), .. } => Some(notice.update(this.reader.epoch())),
            Output::Events { notice: None, events, ids } => events.first().and_then(|event| this.update(event, ids)),
            // A budget of one event never yields a frame.
            Output::Frame(..) | Output::Ended(_) => None,
        })
    }
}

impl Source for Subscription {}

impl PollSource for Subscription {
    fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_output(cx, Budget::FRAME)) {
            Output::Frame(Slice { bytes, events, .. }, at) => SourceOutput::ChunkAt(Chunk { bytes, events }, at),
            Output::Events { notice: None, events, ids } => {
                SourceOutput::Chunk(encode_events(this.reader.epoch(), &events, ids))
            }
            Output::Events { notice: Some(notice), events, ids } => {
                notice.encode_among(this.reader.epoch(), &this.core.settings, &events, ids)
            }
            Output::Ended(reason) => SourceOutput::Ended(reason),
        })
    }

    fn detach_handle(self: Pin<&mut Self>) -> Option<Box<dyn Detach>> {
        Some(Box::new(self.get_mut().detach_handle()?))
    }

    fn release(self: Pin<&mut Self>) {
        self.get_mut().leave();
    }
}

impl From<Subscription> for Events<Subscription> {
    fn from(subscription: Subscription) -> Self {
        Self::from_source(subscription)
    }
}

impl Subscription {
    fn update(&self, found: &FoundEvent, ids: Ids) -> Option<Update> {
        let topic = Arc::clone(self.topic_of(found)?);
        let id = ids.of(found, true).map(|sequence| self.reader.epoch().position(sequence).id());
        Some(Update::Event { topic, event: Event::from_rest(id, found.event.clone()) })
    }
}

impl NoticeAt {
    fn update(self, epoch: &Epoch) -> Update {
        let at = self.at.map(|at| epoch.position(at).id());
        match (self.kind, at) {
            (Notice::Gap, Some(to)) => Update::Gap(Gap { from: self.from.map(Position::id), to }),
            (_, at) => Update::Subscribed(at),
        }
    }

    /// Encodes the notice and the events around it.
    fn encode_among(self, epoch: &Epoch, settings: &Settings, events: &[FoundEvent], ids: Ids) -> SourceOutput {
        let prefix = epoch.prefix();
        let update = self.update(epoch);
        let text = encode_notice(settings, &update);
        let (before, after) = events.split_at(self.events_before.min(events.len()));
        let id_len = prefix.len() + found::MAX_ID;
        let mut buffer = Vec::with_capacity(found::encoded_len(prefix, events) + id_len + text.len());
        found::encode_to(prefix, before, ids, &mut buffer);
        if let Some(at) = self.at {
            found::put_id(prefix, at, &mut buffer);
        }
        buffer.extend_from_slice(&text);
        found::encode_to(prefix, after, ids, &mut buffer);
        let chunk = Chunk { bytes: buffer.into(), events: events.len() as u64 };
        match update {
            Update::Gap(gap) => SourceOutput::Gap(Box::new(gap), chunk),
            _ => SourceOutput::Chunk(chunk),
        }
    }
}

fn encode_events(epoch: &Epoch, events: &[FoundEvent], ids: Ids) -> Chunk {
    let mut buffer = Vec::with_capacity(found::encoded_len(epoch.prefix(), events));
    found::encode_to(epoch.prefix(), events, ids, &mut buffer);
    Chunk { bytes: buffer.into(), events: events.len() as u64 }
}

/// Encodes a notice without its id.
fn encode_notice(settings: &Settings, update: &Update) -> Bytes {
    match update {
        Update::Gap(Gap { from, to }) => {
            // Bytes: ids consist of digits, letters and a hyphen, so nothing has to be escaped.
            let from = from.as_ref().map_or_else(|| "null".to_owned(), |from| format!("\"{from}\""));
            encode::text(Some(&settings.gap), &format!("{{\"from\":{from},\"to\":\"{to}\"}}"))
        }
        _ => encode::text(settings.greeting.as_ref(), ""),
    }
}
