//! The handle to a topic, by which events are published.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    caught_up::CaughtUp,
    core::Core,
    presence::Presence,
    published::Published,
    registry::Publish,
    replica::contract::Outgoing,
    state::{append::AfterAppend, hold::Hold, log::size_of_event},
};
use crate::event::Event;

/// A handle to a topic, which publishes events to all its subscribers. Cloning returns another handle to the same topic.
///
/// A handle works on any thread, within a runtime or without. Where subscribers are polled in a tokio runtime, a publish costs
/// the same for one subscriber as for ten thousand; subscribers that are polled elsewhere are woken by the publisher, one by
/// one.
///
/// The topic stays in the hub, with all that its [`Retention`](crate::hub::Retention) allows, as long as there is a handle. A
/// topic that was [closed](Self::close) is opened again by the next publish.
#[derive(Clone)]
pub struct Topic {
    core: Arc<Core>,
    shared: Hold,
}

impl Topic {
    pub(crate) fn new(core: Arc<Core>, shared: Hold) -> Self {
        Self { core, shared }
    }

    /// Returns the name of the topic.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// Publishes an event. The hub's id replaces the event's own. Never waits for a subscriber.
    pub fn publish(&self, event: Event) -> Published {
        self.send(event, None, None)
    }

    /// Publishes an event and keeps it as the newest of this key, beside the log.
    ///
    /// Keyed values are what [`Start::Snapshot`](crate::hub::Start::Snapshot) and
    /// [`LagPolicy::Conflate`](crate::hub::LagPolicy::Conflate) read. A keyed event counts twice towards the
    /// [limit in bytes](crate::hub::Retention::bytes).
    pub fn publish_keyed(&self, key: impl Into<Arc<str>>, event: Event) -> Published {
        self.send(event, Some(key.into()), None)
    }

    /// Publishes an event, unless one was published in this topic under this idempotency key; then returns the id of that one.
    ///
    /// Use it to retry a publish whose outcome is unknown ([`PublishError::Unknown`](crate::hub::PublishError::Unknown)). Keys
    /// of different topics are independent. The backplane defines how long a key is remembered; a hub without one remembers
    /// the last 1,024 keys of all its topics.
    pub fn publish_once(&self, idempotency_key: impl Into<Arc<str>>, event: Event) -> Published {
        self.send(event, None, Some(idempotency_key.into()))
    }

    /// Publishes several events with increasing ids and no other event of the hub between them.
    ///
    /// If one of them is too large, none is published. Subscribers are woken once.
    pub fn publish_all(&self, events: impl IntoIterator<Item = Event>) -> Published {
        let events: Vec<_> = events.into_iter().map(|event| (None, event)).collect();
        self.append(events, None, AfterAppend::Keep)
    }

    /// Removes the keyed value of this key, if there is one.
    ///
    /// Events in the log stay, and subscribers are not notified. With a [backplane](crate::backplane) the value is removed on
    /// all nodes, a little later.
    pub fn remove_key(&self, key: &str) {
        if let Some(replica) = &self.core.replica {
            let outgoing = Outgoing { remove_key: Some(key.into()), ..Outgoing::new(Arc::clone(self.shared.name())) };
            drop(replica.backplane.publish(outgoing));
            return;
        }
        self.shared.remove_key(key);
    }

    /// Waits until each subscriber has read to within `events` events of the newest one, or the topic is closed.
    ///
    /// Use it where back-pressure on the publisher is better than [lag](crate::hub#lagging). The position to wait for is fixed
    /// when this is called, and only events that the log keeps then are waited for. The slowest subscriber counts, also if it
    /// has missed by now what is waited for. So does one that has stopped reading, until the
    /// [watchdog](crate::streams::StreamsBuilder::stall_timeout) of its layer's streams finds it: put a time limit around the
    /// wait.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn wait_for_readers(&self, events: usize) {
        CaughtUp::new(&self.shared, events).await;
    }

    /// Sets the time for which this topic may gather events before it wakes its subscribers, in place of the hub's
    /// [`linger`](crate::hub::HubBuilder::linger). In whole milliseconds, rounded up; zero wakes at once.
    ///
    /// Events that are gathered now are delivered at once. The setting is kept with the topic's name, as its
    /// [retention](crate::hub::Hub::topic_with) is, and is of this node alone. See [lingering](crate::hub#lingering).
    pub fn set_linger(&self, linger: Duration) {
        self.shared.set_linger(linger.into()).wake();
    }

    /// Closes the topic, after a last event if there is one. Its streams get what remains, and end cleanly.
    ///
    /// A stream over several topics ends at the first position at which all of them are closed. The next publish opens the
    /// topic again. A subscription does not: one that comes for a closed topic gets the kept events that its client does not
    /// have, and ends; if there are none, it waits until the topic is opened. A closed topic keeps its events as long as there
    /// is a subscription, a [`Topic`] or a [`Presence`] of it, and is removed then.
    ///
    /// Browsers reconnect after a clean end. Refuse them with [`Refusal::stop`](crate::Refusal::stop).
    ///
    /// If the last event is too large, the topic is not closed.
    pub fn close(&self, last: impl Into<Option<Event>>) -> Published {
        let last: Vec<_> = last.into().map(|event| (None, event)).into_iter().collect();
        self.append(last, None, AfterAppend::Close)
    }

    /// Returns the [presence](crate::hub#presence) of the topic: its streams and their members.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::new(self.shared.clone())
    }

    fn send(&self, event: Event, key: Option<Arc<str>>, idempotency_key: Option<Arc<str>>) -> Published {
        self.append([(key, event)], idempotency_key, AfterAppend::Keep)
    }

    fn append<I>(&self, events: I, idempotency_key: Option<Arc<str>>, then: AfterAppend) -> Published
    where
        I: IntoIterator<Item = (Option<Arc<str>>, Event)> + AsRef<[(Option<Arc<str>>, Event)]>,
        I::IntoIter: ExactSizeIterator,
    {
        let sizes = events.as_ref().iter().map(|(key, event)| size_of_event(event.rest(), key.as_deref()));
        let size = sizes.max().unwrap_or(0);
        if let Some(replica) = &self.core.replica {
            if let Err(error) = self.core.check_size(&self.shared, size) {
                return Published::new(Err(error));
            }
            return Published::awaited(replica.backplane.publish(Outgoing {
                events: events.into_iter().collect(),
                close: then == AfterAppend::Close,
                idempotency_key,
                ..Outgoing::new(Arc::clone(self.shared.name()))
            }));
        }
        let events = events.into_iter().map(|(key, event)| (key, event.into_rest()));
        let publish = Publish { events, size, idempotency_key, then };
        Published::new(self.core.append(&self.shared, publish))
    }
}

/// Two handles are equal if they are of the same topic of the same hub.
impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        // Invariant: a topic that is held is the only one of its name in its hub.
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Topic {}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name()).finish_non_exhaustive()
    }
}
