//! The hub: where topics are found.

use crate::event::field::EventName;
use crate::hub::replica::Replica;
use crate::hub::replica::apply;
use crate::hub::replica::contract::Backplane;
use crate::hub::settings::Settings;
use std::{fmt, sync::Arc};

use super::{
    core::Core,
    error::{SubscribeError, TopicError},
    health::HubHealth,
    retention::Retention,
    subscription::{Subscription, request::Subscribe},
    topic::Topic,
};
use crate::observe::link::Link;

/// Named topics with one order of all their events. Cloning gives another handle to the same hub.
///
/// See the [module's documentation](crate::hub) for an example and the rules.
#[derive(Clone)]
pub struct Hub(Arc<Core>);

impl Hub {
    /// A hub with the defaults of [`Hub::builder`]. Needs no runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins a hub with other bounds.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// The topic of this name, new if there is none: any text of up to 256 bytes. It stays as long as it is held.
    ///
    /// # Errors
    ///
    /// The name is too long, or the hub has as many [topics](HubBuilder::max_topics) as it may.
    pub fn topic(&self, name: impl AsRef<str>) -> Result<Topic, TopicError> {
        self.open(name.as_ref(), None)
    }

    /// The topic of this name with bounds of its own, which it has from here on, also if it is there already.
    ///
    /// # Errors
    ///
    /// As for [`topic`](Self::topic).
    pub fn topic_with(&self, name: impl AsRef<str>, bounds: Retention) -> Result<Topic, TopicError> {
        self.open(name.as_ref(), Some(bounds))
    }

    /// A subscription: from its position on, nothing that is published in its topics escapes it, though it is only counted
    /// and woken from its first poll on. What can be asked for is in [`Subscribe`].
    ///
    /// # Errors
    ///
    /// A topic cannot be had, none is named, or the member's value is too long. Each is a [`Refusal`](crate::Refusal) too.
    pub fn subscribe(&self, subscribe: impl Into<Subscribe>) -> Result<Subscription, SubscribeError> {
        Subscription::new(&self.0, subscribe.into())
    }

    /// How many topics there are now.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.0.topic_count()
    }

    /// How many bytes all topics keep now, counted as by [`Retention::bytes`].
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        self.0.bytes_used()
    }

    /// Returns how full the hub is, and what it has let go and refused.
    #[must_use]
    pub fn health(&self) -> HubHealth {
        self.0.health()
    }

    /// Whether what feeds the hub can be reached, and, by waiting for a change, when. `None`: it stands by itself.
    #[must_use]
    pub fn link_state(&self) -> Option<tokio::sync::watch::Receiver<Link>> {
        self.0.replica.as_ref().map(crate::hub::replica::Replica::link)
    }

    /// Leaves what [feeds](crate::backplane) the hub, and waits until that is done: for the end of a process. Its members are
    /// gone from the [presence](crate::hub::Topic::presence) on other nodes at once, and not only when they have not heard of this
    /// node for a while. Dropping the hub does the same a moment later, if its runtime still runs then.
    ///
    /// If Redis does not answer, it waits for 5 s: this node's place then expires.
    ///
    /// From then on the hub is fed no more, and its [link](Self::link) is down. A hub that stands by itself has nothing to leave.
    /// Events that were published before may still be on their way: wait for their [`Published`](crate::hub::Published)
    /// first.
    ///
    /// # Cancel safety
    ///
    /// A departure that has begun goes on when the future is dropped. The method can be called again.
    pub async fn leave(&self) {
        if let Some(fed) = &self.0.replica {
            fed.requests.end();
            fed.requests.ended().await;
        }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    pub(crate) fn from_core(core: Arc<Core>) -> Self {
        Self(core)
    }

    fn open(&self, name: &str, bounds: Option<Retention>) -> Result<Topic, TopicError> {
        let shared = self.0.topic(name, bounds)?;
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

/// Makes a [`Hub`]; from [`Hub::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` makes the hub"]
pub struct HubBuilder {
    settings: Settings,
}

impl HubBuilder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings {
                bounds: Retention::new(),
                bytes: 64 << 20,
                topics: 10_000,
                topics_per_subscription: 256,
                greeting: Some(crate::event_name!("subscribed")),
                gap: crate::event_name!("gap"),
            },
        }
    }

    /// What each topic keeps that is not [told otherwise](Hub::topic_with). Default: [`Retention::new`].
    pub fn retention(mut self, bounds: Retention) -> Self {
        self.settings.bounds = bounds;
        self
    }

    /// What all topics keep together, in bytes, counted as by [`Retention::bytes`]. Default 64 MiB. Beyond it the oldest events
    /// go, whichever topic they are in; if there are none any more, keyed values; and last what has just been published.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.settings.bytes = bytes;
        self
    }

    /// Sets how many topics there may be at a time. As many are remembered after they are gone. Defaults to 10,000.
    ///
    /// A topic of a new name takes the place of one that nothing holds: first of those that never had a subscriber, then of the
    /// least recently read, and of those with keyed values last. One with a subscriber, a [`Topic`](crate::hub::Topic) or a
    /// [`Presence`](crate::hub::Presence) never goes: hold the `Topic` to keep its events and keyed values. Clients that come back
    /// for a topic that went are told a gap. Only if all are held, a new name is refused.
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.settings.topics = topics;
        self
    }

    /// Sets how many topics a subscription may have, as names may come from clients. Defaults to 256.
    pub fn max_topics_per_subscription(mut self, topics: usize) -> Self {
        self.settings.topics_per_subscription = topics;
        self
    }

    /// The name of the event that a new client gets first. Its data are empty and its id is the position, so that a client
    /// that is cut before its first event comes back with an id. Default `subscribed`; `None`: there is none, and such a
    /// client comes back as a new one.
    pub fn greeting_event(mut self, name: impl Into<Option<EventName>>) -> Self {
        self.settings.greeting = name.into();
        self
    }

    /// The name of the event that tells a client that it has missed something. Default `gap`.
    pub fn gap_event(mut self, name: EventName) -> Self {
        self.settings.gap = name;
        self
    }

    /// The hub. Needs no runtime.
    #[must_use]
    pub fn build(self) -> Hub {
        Hub::from_core(Core::new(self.settings, None))
    }

    /// A hub that is fed by this backplane: the same on all nodes. What is published goes there, and comes from there.
    ///
    /// The hub is fed in the runtime that this is called in. When that ends before the hub, its [link](Hub::link_state) is down for
    /// good.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, which the task that follows the backplane runs in.
    #[must_use]
    pub fn build_with_backplane(self, backplane: impl Backplane) -> Hub {
        let backplane: Arc<dyn Backplane> = Arc::new(backplane);
        let core = Core::new(self.settings, Some(Replica::new(backplane)));
        tokio::spawn(apply::follow(Arc::downgrade(&core)));
        Hub::from_core(core)
    }
}
