//! What a subscription gives: on the wire for event streams, as values for anything else.

use crate::event::gap::Gap;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{Given, Subscription, Told, resume::Notice};
use crate::{
    answer::Events,
    body::source::{Pull, Pulled, Source},
    event::{Event, chunk::Chunk, encode, field::EventId},
    hub::{
        position::Position,
        settings::Settings,
        state::{
            found as picked,
            found::{Budget, Ids, Picked},
        },
    },
    streams::resources::Holds,
};

/// What a [`Subscription`] gives as a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// The subscription has begun, here. `None`: what comes first is the present, whose last event has the position.
    Subscribed(Option<EventId>),
    /// An event, with the hub's id. Those of the [present](crate::hub::Start::Latest) have none, but for the last of them, which
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

/// One thing at a time. Ends after [lag](crate::hub::Lag::Disconnect), or when its topics are closed:
/// [`ended`](Subscription::ended) tells.
impl Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_given(cx, Budget::ONE)) {
            Given::Events { told: Some(told), .. } => Some(this.update(told)),
            Given::Events { told: None, events, ids } => events.first().and_then(|event| this.event(event, ids)),
            // Slices are for frames.
            Given::Shared(_) | Given::Ended(_) => None,
        })
    }
}

impl Source for Subscription {}

impl Pull for Subscription {
    fn poll_pull(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pulled> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_given(cx, Budget::FRAME)) {
            Given::Shared(slice) => Pulled::Chunk(Chunk { bytes: slice.bytes, events: slice.events }),
            Given::Events { told, events, ids } => this.chunk(told, &events, ids),
            Given::Ended(reason) => Pulled::Ended(reason),
        })
    }

    fn holds(self: Pin<&mut Self>) -> Option<Box<dyn Holds>> {
        Some(Box::new(self.get_mut().standing()?))
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
    fn event(&self, picked: &Picked, ids: Ids) -> Option<Update> {
        let topic = Arc::clone(self.topic_of(picked)?);
        let id = ids.of(picked, true).map(|sequence| self.era().position(sequence).id());
        Some(Update::Event { topic, event: Event::from_rest(id, picked.event.clone()) })
    }

    /// Events, and what is told among them, on the wire.
    fn chunk(&self, told: Option<Told>, events: &[Picked], ids: Ids) -> Pulled {
        let (prefix, count) = (self.era().prefix(), events.len() as u64);
        let mut buffer = Vec::with_capacity(picked::encoded_len(prefix, events));
        let Some(told) = told else {
            picked::encode_to(prefix, events, ids, &mut buffer);
            return Pulled::Chunk(Chunk { bytes: buffer.into(), events: count });
        };
        let update = self.update(told);
        let text = text(self.settings(), &update);
        let (before, after) = events.split_at(told.before.min(events.len()));
        buffer.reserve_exact(picked::encoded_len(prefix, events) + prefix.len() + picked::MAX_ID + text.len());
        picked::encode_to(prefix, before, ids, &mut buffer);
        if let Some(at) = told.at {
            picked::put_id(prefix, at, &mut buffer);
        }
        buffer.extend_from_slice(&text);
        picked::encode_to(prefix, after, ids, &mut buffer);
        let chunk = Chunk { bytes: buffer.into(), events: count };
        match update {
            Update::Gap(gap) => Pulled::Missed(Box::new(gap), chunk),
            _ => Pulled::Chunk(chunk),
        }
    }

    fn update(&self, told: Told) -> Update {
        let at = told.at.map(|at| self.era().position(at).id());
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
