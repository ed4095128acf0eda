//! The hub: where topics are found.

use std::{fmt, sync::Arc};

use super::{
    bounds::Bounds,
    builder::HubBuilder,
    core::Core,
    error::{SubscribeError, TopicError},
    health::HubHealth,
    service::{HubService, IntoSubscribe},
    subscribe::Subscribe,
    subscription::Subscription,
    topic::Topic,
};
use crate::{RequestHead, backplane::Link};

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
    /// The name is too long, or the hub has as many [topics](HubBuilder::topics) as it may.
    pub fn topic(&self, name: impl AsRef<str>) -> Result<Topic, TopicError> {
        self.open(name.as_ref(), None)
    }

    /// The topic of this name with bounds of its own, which it has from here on, also if it is there already.
    ///
    /// # Errors
    ///
    /// As for [`topic`](Self::topic).
    pub fn topic_with(&self, name: impl AsRef<str>, bounds: Bounds) -> Result<Topic, TopicError> {
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

    /// An event service for [`SseLayer::new`](crate::SseLayer::new): the function says which topics a request may see, or
    /// refuses. It gets the head only, and runs within the request, so it must be quick. Where the client left off is seen
    /// to.
    ///
    /// ```
    /// use tower_sse::{Refusal, SseLayer, hub::{Hub, Subscribe}};
    ///
    /// let hub = Hub::new();
    /// let layer = SseLayer::new(hub.service(|head| {
    ///     let room = head.uri().path().strip_prefix("/rooms/").ok_or(http::StatusCode::NOT_FOUND)?;
    ///     Ok::<_, Refusal>(Subscribe::to(format!("room/{room}")))
    /// }));
    /// ```
    pub fn service<F, R>(&self, subscribe: F) -> HubService<F>
    where
        F: Fn(&RequestHead<'_>) -> R,
        R: IntoSubscribe,
    {
        HubService::new(self.clone(), subscribe)
    }

    /// How many topics there are now.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.0.topics()
    }

    /// How many bytes all topics keep now, counted as by [`Bounds::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.kept()
    }

    /// Returns how full the hub is, and what it has let go and refused.
    #[must_use]
    pub fn health(&self) -> HubHealth {
        self.0.health()
    }

    /// Whether what feeds the hub can be reached, and, by waiting for a change, when. `None`: it stands by itself.
    #[must_use]
    pub fn link(&self) -> Option<tokio::sync::watch::Receiver<Link>> {
        self.0.fed.as_ref().map(super::fed::Fed::link)
    }

    /// Leaves what [feeds](crate::backplane) the hub, and waits until that is done: for the end of a process. Its members are
    /// gone from the [presence](super::Topic::presence) on other nodes at once, and not only when they have not heard of this
    /// node for a while. Dropping the hub does the same a moment later, if its runtime still runs then.
    ///
    /// If Redis does not answer, it waits for 5 s: this node's place then expires.
    ///
    /// From then on the hub is fed no more, and its [link](Self::link) is down. A hub that stands by itself has nothing to leave.
    /// Events that were published before may still be on their way: wait for their [`Published`](super::Published)
    /// first.
    ///
    /// # Cancel safety
    ///
    /// A departure that has begun goes on when the future is dropped. The method can be called again.
    pub async fn leave(&self) {
        if let Some(fed) = &self.0.fed {
            fed.asked.end();
            fed.asked.ended().await;
        }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    pub(crate) fn from_core(core: Arc<Core>) -> Self {
        Self(core)
    }

    fn open(&self, name: &str, bounds: Option<Bounds>) -> Result<Topic, TopicError> {
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
        f.debug_struct("Hub").field("topics", &self.topics()).field("bytes", &self.bytes()).finish()
    }
}
