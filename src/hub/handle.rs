//! The handle to a hub, and its builder.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    core::Core,
    error::{SubscribeError, TopicError},
    health::HubHealth,
    replica::{Replica, apply, contract::Backplane},
    retention::Retention,
    settings::{Linger, Settings, TopicSettings},
    subscription::{Subscription, request::Subscribe},
    topic::Topic,
};
use crate::{event::field::EventName, observe::link::Link};

/// A set of named topics whose events share one order. Cloning returns another handle to the same hub.
///
/// See the [module's documentation](crate::hub) for an example and the rules.
#[derive(Clone)]
pub struct Hub(Arc<Core>);

impl Hub {
    /// Creates a hub with the defaults of [`Hub::builder`]. Needs no runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a hub with other limits.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// Returns the topic of this name, and creates it if there is none.
    ///
    /// A name is any text of up to 256 bytes. The topic stays as long as the returned handle does.
    ///
    /// # Errors
    ///
    /// Errors if the name is too long, or if the topic is new and the hub has [as many topics](HubBuilder::max_topics) as it
    /// may, all of them held.
    pub fn topic(&self, name: impl AsRef<str>) -> Result<Topic, TopicError> {
        self.open(name.as_ref(), None)
    }

    /// Returns the topic of this name, if it exists. Never creates one.
    ///
    /// A topic exists as long as something holds it or it keeps an event or a keyed value, also while it is closed. The
    /// returned handle holds it like any other [`Topic`]. Use this to publish only where there may be subscribers, or to look
    /// up names that come from clients, which could fill the hub with [`topic`](Self::topic).
    ///
    /// ```
    /// use tower_sse::hub::Hub;
    ///
    /// let hub = Hub::new();
    /// assert!(hub.get_topic("news").is_none());
    /// let news = hub.topic("news")?;
    /// assert_eq!(hub.get_topic("news"), Some(news));
    /// # Ok::<(), tower_sse::hub::TopicError>(())
    /// ```
    #[must_use]
    pub fn get_topic(&self, name: impl AsRef<str>) -> Option<Topic> {
        let shared = self.0.get_topic(name.as_ref())?;
        Some(Topic::new(Arc::clone(&self.0), shared))
    }

    /// Returns the topic of this name with a retention of its own, and creates it if there is none.
    ///
    /// The retention applies from now on, also to a topic that exists already.
    ///
    /// # Errors
    ///
    /// Errors as [`topic`](Self::topic) does.
    pub fn topic_with(&self, name: impl AsRef<str>, retention: Retention) -> Result<Topic, TopicError> {
        self.open(name.as_ref(), Some(retention))
    }

    /// Creates a subscription. See [`Subscribe`] for its options.
    ///
    /// The subscription misses nothing that is published in its topics from this call on. It is counted and woken only from
    /// its first poll on.
    ///
    /// # Errors
    ///
    /// Errors if a topic is unavailable, if no topic or too many are named, or if the member is too long. Each error converts
    /// into a [`Refusal`](crate::Refusal).
    pub fn subscribe(&self, subscribe: impl Into<Subscribe>) -> Result<Subscription, SubscribeError> {
        Subscription::new(&self.0, subscribe.into())
    }

    /// Returns the number of topics that exist now.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.0.topic_count()
    }

    /// Returns the number of bytes that all topics keep now, counted as by [`Retention::bytes`].
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        self.0.bytes_used()
    }

    /// Returns how full the hub is, and what it has evicted and refused.
    #[must_use]
    pub fn health(&self) -> HubHealth {
        self.0.health()
    }

    /// Returns the state of the link to the [backplane](crate::backplane), as a watch that also reports changes.
    ///
    /// Returns `None` if the hub has no backplane. The state is [`Link::Connecting`] first, and [`Link::Down`] after
    /// [`leave`](Self::leave) or when the runtime that the hub was built in has ended. Use it for a readiness probe, or to
    /// stop publishing while the link is down; streams stay open meanwhile.
    #[must_use]
    pub fn link_state(&self) -> Option<tokio::sync::watch::Receiver<Link>> {
        self.0.replica.as_ref().map(Replica::link)
    }

    /// Leaves the [backplane](crate::backplane), and waits until that is done. Call it before the process ends.
    ///
    /// Other nodes remove this node's members from the [presence](crate::hub::Topic::presence) at once, instead of after a
    /// timeout. Dropping the hub has the same effect a moment later, if its runtime still runs then. If Redis does not answer,
    /// this waits for 5 s; the entry of this node then expires.
    ///
    /// From then on the hub receives nothing from the backplane, and its [link](Self::link_state) is down. Does nothing if the
    /// hub has no backplane. Events that were published before may still be in flight: await their
    /// [`Published`](crate::hub::Published) first.
    ///
    /// # Cancel safety
    ///
    /// Leaving continues if the future is dropped. The method can be called again.
    pub async fn leave(&self) {
        if let Some(replica) = &self.0.replica {
            replica.requests.end();
            replica.requests.ended().await;
        }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    pub(crate) fn from_core(core: Arc<Core>) -> Self {
        Self(core)
    }

    fn open(&self, name: &str, retention: Option<Retention>) -> Result<Topic, TopicError> {
        let shared = self.0.topic(name, retention)?;
        Ok(Topic::new(Arc::clone(&self.0), shared))
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("topics", &self.topic_count()).field("bytes", &self.bytes_used()).finish()
    }
}

/// A builder of a [`Hub`]; created by [`Hub::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` creates the hub"]
pub struct HubBuilder {
    settings: Settings,
}

impl HubBuilder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings {
                of_topic: TopicSettings { bounds: Retention::new(), linger: Linger::default() },
                bytes: 64 << 20,
                topics: 10_000,
                topics_per_subscription: 256,
                greeting: Some(crate::event_name!("subscribed")),
                gap: crate::event_name!("gap"),
            },
        }
    }

    /// Sets what each topic keeps that has no retention [of its own](Hub::topic_with). Defaults to [`Retention::new`].
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.of_topic.bounds = retention;
        self
    }

    /// Sets the time for which each topic may gather events before it wakes its subscribers, unless it has a linger
    /// [of its own](Topic::set_linger). In whole milliseconds, rounded up. Defaults to none.
    ///
    /// See [lingering](crate::hub#lingering).
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.of_topic.linger = linger.into();
        self
    }

    /// Sets how much all topics keep together, in bytes, counted as by [`Retention::bytes`]. Defaults to 64 MiB.
    ///
    /// Beyond it the oldest events are evicted, whichever topic they are in; if there are none left, keyed values; and last
    /// the event that was just published.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.settings.bytes = bytes;
        self
    }

    /// Sets how many topics may exist at a time. As many tombstones of evicted topics are kept. Defaults to 10,000.
    ///
    /// At the limit, a new topic evicts one that is not held: first those that never had a subscriber, then the least recently
    /// read, and those with keyed values last. A topic with a subscriber, a [`Topic`](crate::hub::Topic) or a
    /// [`Presence`](crate::hub::Presence) is never evicted: hold the `Topic` to keep its events and keyed values. A client that
    /// comes back for an evicted topic gets a gap. A new name is refused only if all topics are held.
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.settings.topics = topics;
        self
    }

    /// Sets how many topics a subscription may have, as names may come from clients. Defaults to 256.
    pub fn max_topics_per_subscription(mut self, topics: usize) -> Self {
        self.settings.topics_per_subscription = topics;
        self
    }

    /// Sets the name of the event that a new client gets first. Defaults to `subscribed`.
    ///
    /// The data of the event is empty and its id is the current position, so a client that is cut before its first event still resumes
    /// from there. With `None` it is not sent, and such a client comes back as a new one.
    pub fn greeting_event(mut self, name: impl Into<Option<EventName>>) -> Self {
        self.settings.greeting = name.into();
        self
    }

    /// Sets the name of the event that reports a [gap](crate::hub#gaps) to a client. Defaults to `gap`.
    pub fn gap_event(mut self, name: EventName) -> Self {
        self.settings.gap = name;
        self
    }

    /// Builds the hub. Needs no runtime.
    #[must_use]
    pub fn build(self) -> Hub {
        Hub::from_core(Core::new(self.settings, None))
    }

    /// Builds a hub that a backplane replicates: events are published to it and received from it, so the hub is the same on
    /// all nodes.
    ///
    /// The hub receives in the runtime that this is called in. When that runtime ends before the hub, the
    /// [link](Hub::link_state) stays down.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime, since it spawns the task that follows the backplane.
    #[must_use]
    pub fn build_with_backplane(self, backplane: impl Backplane) -> Hub {
        let backplane: Arc<dyn Backplane> = Arc::new(backplane);
        let core = Core::new(self.settings, Some(Replica::new(backplane)));
        tokio::spawn(apply::follow(Arc::downgrade(&core)));
        Hub::from_core(core)
    }
}
