//! What a subscription gives: on the wire for event streams, as values for anything else.

use crate::event::gap::Gap;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{NoticeAt, Output, Subscription, resume::Notice};
use crate::{
    answer::Events,
    body::source::{PollSource, Source, SourceOutput},
    event::{Event, chunk::Chunk, encode, field::EventId},
    hub::{
        position::Position,
        settings::Settings,
        state::{
            found,
            found::{Budget, FoundEvent, Ids},
        },
    },
    streams::resources::Detach,
};

/// What a [`Subscription`] gives as a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// The subscription has begun, here. `None`: what comes first is the present, whose last event has the position.
    Subscribed(Option<EventId>),
    /// An event, with the hub's id. Those of the [present](crate::hub::Start::Snapshot) have none, but for the last of them, which
    /// has the position that all of them are of.
    Event {
        /// The topic that it was published in.
        topic: Arc<str>,
        /// The event.
        event: Event,
    },
    /// Something is missing.
    Gap(Gap),
}

/// One thing at a time. Ends after [lag](crate::hub::LagPolicy::Disconnect), or when its topics are closed:
/// [`ended`](Subscription::end_reason) tells.
impl Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_output(cx, Budget::ONE)) {
            Output::Events { told: Some(told), .. } => Some(this.update(told)),
            Output::Events { told: None, events, ids } => events.first().and_then(|event| this.event(event, ids)),
            // Slices are for frames.
            Output::Frame(_) | Output::Ended(_) => None,
        })
    }
}

impl Source for Subscription {}

impl PollSource for Subscription {
    fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_output(cx, Budget::FRAME)) {
            Output::Frame(slice) => SourceOutput::Chunk(Chunk { bytes: slice.bytes, events: slice.events }),
            Output::Events { told, events, ids } => this.chunk(told, &events, ids),
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
    fn event(&self, picked: &FoundEvent, ids: Ids) -> Option<Update> {
        let topic = Arc::clone(self.topic_of(picked)?);
        let id = ids.of(picked, true).map(|sequence| self.epoch().position(sequence).id());
        Some(Update::Event { topic, event: Event::from_rest(id, picked.event.clone()) })
    }

    /// Events, and what is told among them, on the wire.
    fn chunk(&self, told: Option<NoticeAt>, events: &[FoundEvent], ids: Ids) -> SourceOutput {
        let (prefix, count) = (self.epoch().prefix(), events.len() as u64);
        let mut buffer = Vec::with_capacity(found::encoded_len(prefix, events));
        let Some(told) = told else {
            found::encode_to(prefix, events, ids, &mut buffer);
            return SourceOutput::Chunk(Chunk { bytes: buffer.into(), events: count });
        };
        let update = self.update(told);
        let text = text(self.settings(), &update);
        let (before, after) = events.split_at(told.before.min(events.len()));
        buffer.reserve_exact(found::encoded_len(prefix, events) + prefix.len() + found::MAX_ID + text.len());
        found::encode_to(prefix, before, ids, &mut buffer);
        if let Some(at) = told.at {
            found::put_id(prefix, at, &mut buffer);
        }
        buffer.extend_from_slice(&text);
        found::encode_to(prefix, after, ids, &mut buffer);
        let chunk = Chunk { bytes: buffer.into(), events: count };
        match update {
            Update::Gap(gap) => SourceOutput::Gap(Box::new(gap), chunk),
            _ => SourceOutput::Chunk(chunk),
        }
    }

    fn update(&self, told: NoticeAt) -> Update {
        let at = told.at.map(|at| self.epoch().position(at).id());
        match (told.notice, at) {
            (Notice::Gap, Some(to)) => Update::Gap(Gap { from: told.from.map(Position::id), to }),
            (_, at) => Update::Subscribed(at),
        }
    }
}

/// What tells it, without its id.
fn text(settings: &Settings, update: &Update) -> Bytes {
    match update {
        Update::Gap(Gap { from, to }) => {
            // Both are of digits, letters and a hyphen: nothing in them has to be escaped.
            let from = from.as_ref().map_or_else(|| "null".to_owned(), |from| format!("\"{from}\""));
            encode::text(Some(&settings.gap), &format!("{{\"from\":{from},\"to\":\"{to}\"}}"))
        }
        _ => encode::text(settings.greeting.as_ref(), ""),
    }
}
