//! A topic, for those who publish.

use std::{fmt, iter, sync::Arc};

use bytes::Bytes;

use super::{
    core::{Core, Then},
    drained::Drained,
    log::size_of_event,
    presence::Presence,
    published::Published,
    topic_state::TopicShared,
};
use crate::Event;

/// Publishes events to all subscribers of a topic. Cloning gives another handle to the same one.
///
/// It can be used from any thread, within a runtime or without. Where subscribers are polled within a tokio runtime, a publish
/// costs the same for one and for ten thousand; those that are polled elsewhere are woken by the publisher, one by one.
///
/// A topic that was [closed](Self::close) is opened anew by the next publish of whoever holds it.
#[derive(Clone)]
pub struct Topic {
    core: Arc<Core>,
    shared: Arc<TopicShared>,
}

impl Topic {
    pub(crate) fn new(core: Arc<Core>, shared: Arc<TopicShared>) -> Self {
        Self { core, shared }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// Publishes an event. It gets an id of the hub's in place of its own. Never waits for a subscriber.
    pub fn publish(&self, event: Event) -> Published {
        let event = event.into_rest();
        self.append(size_of_event(&event, None), iter::once((None, event)), Then::GoOn)
    }

    /// Publishes an event and keeps it as the newest of this key, beside the log, for subscribers to whom only the present
    /// counts. It counts twice towards the [bound in bytes](super::Bounds::bytes).
    pub fn publish_keyed(&self, key: impl Into<Arc<str>>, event: Event) -> Published {
        let (key, event) = (key.into(), event.into_rest());
        // In the log and beside it.
        let size = 2 * size_of_event(&event, Some(&key));
        self.append(size, iter::once((Some(key), event)), Then::GoOn)
    }

    /// Publishes several events: their ids increase, and no other event of the hub comes between them. If one is too large,
    /// none is published. Subscribers are woken once.
    pub fn publish_all(&self, events: impl IntoIterator<Item = Event>) -> Published {
        let events: Vec<_> = events.into_iter().map(Event::into_rest).collect();
        let largest = events.iter().map(|event| size_of_event(event, None)).max().unwrap_or(0);
        self.append(largest, events.into_iter().map(|event| (None, event)), Then::GoOn)
    }

    /// Forgets the newest event of a key, if there is one. Events in the log stay, and so does what subscribers have.
    pub fn remove_key(&self, key: &str) {
        self.shared.lock().latest.remove(key);
    }

    /// Waits until each subscriber has come to within so many events of what is newest now: for a publisher that would
    /// rather wait than have subscribers miss something.
    ///
    /// It waits for the slowest, and so for one that does not read at all: give it a time limit. Events that the log has no
    /// room for any more are not waited for, nor are those who missed them. When the topic is closed it is done.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn drained(&self, events: usize) {
        Drained::new(&self.shared, events).await;
    }

    /// Ends the topic: its streams get what there is, this event if it is one, and end cleanly. A stream over several topics
    /// ends with the last of them. Whoever subscribes or publishes to its name from here on has a new topic.
    ///
    /// A browser comes back after a clean end. Refuse it then with [`Refusal::stop`](crate::Refusal::stop).
    ///
    /// If the event is too large the topic is not closed.
    pub fn close(&self, last: impl Into<Option<Event>>) -> Published {
        let last = last.into().map(Event::into_rest);
        let size = last.as_deref().map_or(0, |event| size_of_event(event, None));
        self.append(size, last.into_iter().map(|event| (None, event)), Then::Close)
    }

    /// Who is here.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::new(Arc::clone(&self.shared))
    }

    fn append(&self, size: usize, events: impl Iterator<Item = (Option<Arc<str>>, Bytes)>, then: Then) -> Published {
        Published::new(self.core.append(&self.shared, size, events, then))
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name()).finish_non_exhaustive()
    }
}
