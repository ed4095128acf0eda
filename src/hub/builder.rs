//! What can be set on a hub before it is made.

use std::sync::Arc;

use super::{
    bounds::Bounds,
    core::Core,
    fed::{self, Fed},
    hub::Hub,
};
use crate::{EventName, backplane::Backplane};

/// Makes a [`Hub`]; from [`Hub::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` makes the hub"]
pub struct HubBuilder {
    settings: Settings,
}

/// What is set on a hub.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) bounds: Bounds,
    pub(crate) bytes: usize,
    pub(crate) topics: usize,
    pub(crate) topics_per_subscription: usize,
    pub(crate) greeting: Option<EventName>,
    pub(crate) gap: EventName,
}

impl Settings {
    /// Whether a new client is told where it is.
    pub(crate) fn greets(&self) -> bool {
        self.greeting.is_some()
    }
}

impl HubBuilder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings {
                bounds: Bounds::new(),
                bytes: 64 << 20,
                topics: 10_000,
                topics_per_subscription: 256,
                greeting: Some(crate::event_name!("subscribed")),
                gap: crate::event_name!("gap"),
            },
        }
    }

    /// What each topic keeps that is not [told otherwise](Hub::topic_with). Default: [`Bounds::new`].
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.settings.bounds = bounds;
        self
    }

    /// What all topics keep together, in bytes, counted as by [`Bounds::bytes`]. Default 64 MiB. Beyond it the oldest events
    /// go, whichever topic they are in; if there are none any more, keyed values; and last what has just been published.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.settings.bytes = bytes;
        self
    }

    /// Sets how many topics there may be at a time. As many are remembered after they are gone. Defaults to 10,000.
    ///
    /// A topic of a new name takes the place of one that nothing holds: first of those that never had a subscriber, then of the
    /// least recently read, and of those with keyed values last. One with a subscriber, a [`Topic`](super::Topic) or a
    /// [`Presence`](super::Presence) never goes: hold the `Topic` to keep its events and keyed values. Clients that come back
    /// for a topic that went are told a gap. Only if all are held, a new name is refused.
    pub fn topics(mut self, topics: usize) -> Self {
        self.settings.topics = topics;
        self
    }

    /// Sets how many topics a subscription may have, as names may come from clients. Defaults to 256.
    pub fn topics_per_subscription(mut self, topics: usize) -> Self {
        self.settings.topics_per_subscription = topics;
        self
    }

    /// The name of the event that a new client gets first. Its data are empty and its id is the position, so that a client
    /// that is cut before its first event comes back with an id. Default `subscribed`; `None`: there is none, and such a
    /// client comes back as a new one.
    pub fn greeting(mut self, name: impl Into<Option<EventName>>) -> Self {
        self.settings.greeting = name.into();
        self
    }

    /// The name of the event that tells a client that it has missed something. Default `gap`.
    pub fn gap(mut self, name: EventName) -> Self {
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
    /// The hub is fed in the runtime that this is called in. When that ends before the hub, its [link](Hub::link) is down for
    /// good.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, which the task that follows the backplane runs in.
    #[must_use]
    pub fn build_on(self, backplane: impl Backplane) -> Hub {
        let backplane: Arc<dyn Backplane> = Arc::new(backplane);
        let core = Core::new(self.settings, Some(Fed::new(backplane)));
        tokio::spawn(fed::follow(Arc::downgrade(&core)));
        Hub::from_core(core)
    }
}
