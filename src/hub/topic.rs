//! A topic, for those who publish.

use std::{fmt, sync::Arc};

use super::{
    caught_up::CaughtUp,
    core::{AfterAppend, Core},
    presence::Presence,
    published::Published,
    state::{hold::Hold, log::size_of_event},
};
use crate::{event::Event, hub::replica::contract::Outgoing};

/// Publishes events to all subscribers of a topic. Cloning gives another handle to the same one.
///
/// It can be used from any thread, within a runtime or without. Where subscribers are polled within a tokio runtime, a publish
/// costs the same for one and for ten thousand; those that are polled elsewhere are woken by the publisher, one by one.
///
/// A topic that is [closed](Self::close) is opened again by the next publish.
///
/// Holding it keeps the topic, with all that its bounds allow.
#[derive(Clone)]
pub struct Topic {
    core: Arc<Core>,
    shared: Hold,
}

impl Topic {
    pub(crate) fn new(core: Arc<Core>, shared: Hold) -> Self {
        Self { core, shared }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// Publishes an event. It gets an id of the hub's in place of its own. Never waits for a subscriber.
    pub fn publish(&self, event: Event) -> Published {
        self.send(event, None, None)
    }

    /// Publishes an event and keeps it as the newest of this key, beside the log, for subscribers to whom only the present
    /// counts. It counts twice towards the [bound in bytes](crate::hub::Retention::bytes).
    pub fn publish_keyed(&self, key: impl Into<Arc<str>>, event: Event) -> Published {
        self.send(event, Some(key.into()), None)
    }

    /// Publishes an event, unless one was published in this topic under this idempotency key: then it gives that one's id. For
    /// callers that repeat what they do not know the outcome of. A key of one topic says nothing of another topic. How long a key is remembered is up to what feeds the hub; a hub that
    /// stands by itself remembers the last 1,024 of all its topics.
    pub fn publish_once(&self, idempotency_key: impl Into<Arc<str>>, event: Event) -> Published {
        self.send(event, None, Some(idempotency_key.into()))
    }

    /// Publishes several events: their ids increase, and no other event of the hub comes between them. If one is too large,
    /// none is published. Subscribers are woken once.
    pub fn publish_all(&self, events: impl IntoIterator<Item = Event>) -> Published {
        let events: Vec<_> = events.into_iter().map(|event| (None, event)).collect();
        self.append(events, None, AfterAppend::Keep)
    }

    /// Forgets the newest event of a key, if there is one. Events in the log stay, and so does what subscribers have. Where the
    /// hub is [fed from outside](crate::backplane), it is forgotten on all nodes, a little later.
    pub fn remove_key(&self, key: &str) {
        if let Some(fed) = &self.core.replica {
            let removes = Some(key.into());
            drop(
                fed.backplane
                    .publish(Outgoing { remove_key: removes, ..Outgoing::new(Arc::clone(self.shared.name())) }),
            );
            return;
        }
        self.shared.lock().latest.remove(key);
    }

    /// Waits until each subscriber has come to within so many events of what is newest now: for a publisher that would
    /// rather wait than have subscribers miss something.
    ///
    /// It waits for the slowest, also for one that has missed by now what it waits for, and for one that does not read at all
    /// until the [watchdog](crate::streams::StreamsBuilder::stall_timeout) of its layer's streams finds it: give it a time
    /// limit. Events that the log has no room for when it is called are not waited for. When the topic is closed
    /// it is done.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn wait_for_readers(&self, events: usize) {
        CaughtUp::new(&self.shared, events).await;
    }

    /// Closes the topic, after a last event if there is one. Its streams get what there is, and end cleanly. A stream over
    /// several topics ends at the first position at which all of them are closed.
    ///
    /// The next publish opens the topic again, and a subscription alone does not: one that comes for a closed topic gets what
    /// is kept that it does not have, and ends; if there is nothing, it waits for what comes. What is kept of a closed topic
    /// stays as long as there is a subscription, a [`Topic`] or a [`Presence`] of it, and is let go then.
    ///
    /// A browser comes back after a clean end. Refuse it then with [`Refusal::stop`](crate::Refusal::stop).
    ///
    /// If the event is too large the topic is not closed.
    pub fn close(&self, last: impl Into<Option<Event>>) -> Published {
        let last: Vec<_> = last.into().map(|event| (None, event)).into_iter().collect();
        self.append(last, None, AfterAppend::Close)
    }

    /// Who is here.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::new(self.shared.clone())
    }

    fn send(&self, event: Event, key: Option<Arc<str>>, once: Option<Arc<str>>) -> Published {
        self.append([(key, event)], once, AfterAppend::Keep)
    }

    fn append<I>(&self, events: I, once: Option<Arc<str>>, then: AfterAppend) -> Published
    where
        I: IntoIterator<Item = (Option<Arc<str>>, Event)> + AsRef<[(Option<Arc<str>>, Event)]>,
        I::IntoIter: ExactSizeIterator,
    {
        let sizes = events.as_ref().iter().map(|(key, event)| size_of_event(event.rest(), key.as_deref()));
        let size = sizes.max().unwrap_or(0);
        if let Some(fed) = &self.core.replica {
            if let Err(error) = self.core.check_size(&self.shared, size) {
                return Published::new(Err(error));
            }
            return Published::awaited(fed.backplane.publish(Outgoing {
                events: events.into_iter().collect(),
                close: then == AfterAppend::Close,
                idempotency_key: once,
                ..Outgoing::new(Arc::clone(self.shared.name()))
            }));
        }
        let events = events.into_iter().map(|(key, event)| (key, event.into_rest()));
        Published::new(self.core.append(&self.shared, size, events, once, then))
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name()).finish_non_exhaustive()
    }
}
