//! What a subscription gives: on the wire for event streams, as values for anything else.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    begin::Notice,
    builder::Settings,
    era::Era,
    picked::{self, Budget, Picked},
    position::Position,
    subscription::{Given, Subscription},
};
use crate::{
    Event, EventId, Events,
    body::source::{Chunk, Holds, Pull, Pulled, Source},
    encode,
};

/// What a [`Subscription`] gives as a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// The subscription has begun, here.
    Subscribed(EventId),
    /// An event, with the hub's id.
    Event {
        /// The topic that it was published in.
        topic: Arc<str>,
        /// The event.
        event: Event,
    },
    /// Something is missing.
    Gap(Gap),
}

/// Events that a subscriber should have had are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// What it had. `None`: it said something that no hub gives out.
    pub from: Option<EventId>,
    /// Up to here something may be missing.
    pub to: EventId,
    /// Where it is now: nothing that is kept is between this and the next event.
    pub at: EventId,
}

/// One thing at a time. Ends after [lag](super::Lag::Disconnect), or when its topics are closed:
/// [`ended`](Subscription::ended) tells.
impl Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_given(cx, Budget::ONE)) {
            Given::Events { notice: Some((notice, at)), .. } => Some(update(this.era(), notice, at)),
            Given::Events { notice: None, events } => events.first().and_then(|event| this.event(event)),
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
            Given::Events { notice, events } => this.chunk(notice, &events),
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
    fn event(&self, picked: &Picked) -> Option<Update> {
        let topic = Arc::clone(self.topic_of(picked)?);
        let id = self.era().position(picked.sequence).id();
        Some(Update::Event { topic, event: Event::from_rest(id, picked.event.clone()) })
    }

    /// Events, and what is to be told before them, on the wire.
    fn chunk(&self, notice: Option<(Notice, u64)>, events: &[Picked]) -> Pulled {
        let prefix = self.era().prefix();
        let Some((notice, at)) = notice else {
            let bytes = picked::encode(prefix, b"", events);
            return Pulled::Chunk(Chunk { bytes, events: events.len() as u64 });
        };
        let update = update(self.era(), notice, at);
        let told = told(self.settings(), &update);
        let mut before = Vec::with_capacity(prefix.len() + picked::MAX_ID + told.len());
        picked::put_id(prefix, at, &mut before);
        before.extend_from_slice(&told);
        let bytes = picked::encode(prefix, &before, events);
        let chunk = Chunk { bytes, events: events.len() as u64 };
        match update {
            Update::Gap(gap) => Pulled::Missed(Box::new(gap), chunk),
            _ => Pulled::Chunk(chunk),
        }
    }
}

fn update(era: &Era, notice: Notice, at: u64) -> Update {
    match notice {
        Notice::Greeting => Update::Subscribed(era.position(at).id()),
        Notice::Gap { from, through } => {
            // What the client had elsewhere says nothing of what it has missed here.
            let to = if through == 0 { at } else { through };
            let from = from.map(Position::id);
            Update::Gap(Gap { from, to: era.position(to).id(), at: era.position(at).id() })
        }
    }
}

/// What tells it, without its id.
fn told(settings: &Settings, update: &Update) -> Bytes {
    match update {
        Update::Gap(Gap { from, to, .. }) => {
            // Both are of digits, letters and a hyphen: nothing in them has to be escaped.
            let from = from.as_ref().map_or_else(|| "null".to_owned(), |from| format!("\"{from}\""));
            encode::text(Some(&settings.gap), &format!("{{\"from\":{from},\"to\":\"{to}\"}}"))
        }
        _ => encode::text(settings.greeting.as_ref(), ""),
    }
}
