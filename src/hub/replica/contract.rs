//! The contract between a hub and its backplane.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};
#[cfg(feature = "redis")]
use std::{future::Future, pin::pin};

use futures_core::future::BoxFuture;
#[cfg(feature = "redis")]
use futures_util::future::{Either, select};

use super::requests::FeedRequests;
use crate::{
    event::{Event, field::EventId},
    hub::{error::PublishError, state::members::TopicPresence},
    observe::link::Link,
};

/// A handle by which a backplane feeds a hub. It does not keep the hub alive: it is closed once the last handle and the last
/// subscription of the hub are dropped.
#[derive(Clone)]
pub struct Feed {
    hub: Weak<dyn Sink>,
    requests: Arc<FeedRequests>,
}

/// An entry of the backplane's order, on its way into a hub.
///
/// An entry is an event, with or without a key, the end of a topic, or the removal of a key. Create one with [`new`](Self::new),
/// [`close`](Self::close) or [`remove`](Self::remove).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Incoming {
    /// The position in the order: above the sequence of every earlier entry.
    pub sequence: u64,
    /// The topic.
    pub topic: Arc<str>,
    /// The key, if the entry has one: the event becomes its newest, or, without an event, the key is removed.
    pub key: Option<Arc<str>>,
    /// The event. `None` if the entry only [closes](Self::close) its topic or removes a key.
    pub event: Option<Event>,
    /// Closes the topic after this entry.
    pub close: bool,
    /// The time since the event was published, from which the bound of [age](crate::hub::Retention::age) counts.
    pub age: Duration,
}

/// A hub that a feed writes to. Each method is documented at the method of [`Feed`] that calls it.
pub(crate) trait Sink: Send + Sync {
    fn epoch(&self) -> u64;
    fn largest(&self) -> usize;
    fn renew(&self, epoch: u64, evicted_through: u64);
    fn feed(&self, events: Vec<Incoming>) -> Vec<u64>;
    fn feed_latest(&self, event: Incoming);
    fn feed_keys(&self, topic: &str, newest: Vec<Incoming>);
    fn find_keys_when_asked(&self);
    fn still_wanted(&self, topics: Vec<Arc<str>>) -> Vec<Arc<str>>;
    fn in_use(&self) -> Vec<Arc<str>>;
    fn caught_up(&self, through: u64);
    fn set_link(&self, link: Link) -> bool;
    fn was_up(&self) -> bool;
    fn local_presence(&self) -> Option<Vec<TopicPresence>>;
    fn node_presence(&self, node: &str, presence: Vec<TopicPresence>);
}

impl Feed {
    pub(crate) fn new(hub: Weak<dyn Sink>, requests: &Arc<FeedRequests>) -> Self {
        Self { hub, requests: Arc::clone(requests) }
    }

    /// Returns whether the hub is gone, or has [left](crate::hub::Hub::leave) its backplane.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.hub.strong_count() == 0 || self.requests.is_over()
    }

    /// Waits until the feed is [closed](Self::is_closed).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn closed(&self) {
        self.requests.closed(|| self.is_closed()).await;
    }

    /// Runs a future until the feed is closed. Returns `None` if it is closed first.
    #[cfg(feature = "redis")]
    pub(crate) async fn while_open<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match select(pin!(future), pin!(self.closed())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Returns the size in bytes of the largest event that the hub keeps, in any topic.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.hub.upgrade().map_or(0, |hub| hub.largest())
    }

    /// Returns the current epoch. Returns `None` if the hub is gone.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        Some(self.hub.upgrade()?.epoch())
    }

    /// Begins an epoch, of which all positions are from here on. Everything up to `evicted_through` is evicted.
    ///
    /// Clears all logs. Subscribers that had read anything get a gap.
    pub fn begin_epoch(&self, epoch: u64, evicted_through: u64) {
        if let Some(hub) = self.hub.upgrade() {
            hub.renew(epoch, evicted_through);
        }
    }

    /// Applies events to the hub. Ignores events whose sequence is not above the last one. Returns the sequences of the events
    /// that were skipped because they are larger than their topic, or the hub, keeps.
    #[expect(clippy::must_use_candidate, reason = "a backplane may know that none is too large")]
    pub fn apply(&self, events: Vec<Incoming>) -> Vec<u64> {
        self.hub.upgrade().map(|hub| hub.feed(events)).unwrap_or_default()
    }

    /// Sets the newest event of a key that is older than the log. It is in no log.
    ///
    /// Called after [`begin_epoch`](Self::begin_epoch), before any event is [applied](Self::apply).
    pub fn apply_latest(&self, event: Incoming) {
        if let Some(hub) = self.hub.upgrade() {
            hub.feed_latest(event);
        }
    }

    /// Declares that the keys of a topic are loaded when a subscriber needs them, and not at
    /// [`begin_epoch`](Self::begin_epoch).
    ///
    /// The topic is [`wanted`](Self::wanted) then, and the subscriber waits. This bounds what a node loads when it starts. Called
    /// before the first `begin_epoch`.
    pub fn find_keys_when_asked(&self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.find_keys_when_asked();
        }
    }

    /// Waits until the keys of topics are requested, and takes the names of those topics. A topic is requested again with each
    /// [`synced_through`](Self::synced_through) as long as a subscriber waits for it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken if the future is dropped before it completes.
    pub async fn wanted(&self) -> Vec<Arc<str>> {
        loop {
            let topics = self.still_wanted(self.requests.next().await);
            if !topics.is_empty() {
                return topics;
            }
        }
    }

    /// Takes the names of the topics whose keys are requested now.
    #[must_use]
    pub fn take_wanted(&self) -> Vec<Arc<str>> {
        self.still_wanted(self.requests.take())
    }

    fn still_wanted(&self, topics: Vec<Arc<str>>) -> Vec<Arc<str>> {
        self.hub.upgrade().map(|hub| hub.still_wanted(topics)).unwrap_or_default()
    }

    /// Returns the names of the topics that are subscribed to, or held. Their keys are needed after a
    /// [`begin_epoch`](Self::begin_epoch).
    #[must_use]
    pub fn in_use(&self) -> Vec<Arc<str>> {
        self.hub.upgrade().map(|hub| hub.in_use()).unwrap_or_default()
    }

    /// Sets the newest event of each key of a topic, as of a moment after all [applied](Self::apply) events. They are in no log.
    /// The keys of the topic are known from here on, also if there are none.
    pub fn apply_keys(&self, topic: &str, newest: Vec<Incoming>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.feed_keys(topic, newest);
        }
    }

    /// Declares that every event up to a sequence was applied, and that the backplane had no more when it was read.
    ///
    /// Called after each [`begin_epoch`](Self::begin_epoch), and at least once a second: new subscriptions wait for the first
    /// call of an epoch, and clients that are ahead of this node for the next one.
    pub fn synced_through(&self, through: u64) {
        if let Some(hub) = self.hub.upgrade() {
            hub.caught_up(through);
        }
    }

    /// Sets the state of the link to the backplane.
    pub fn link(&self, link: Link) {
        let _ = self.change_link(link);
    }

    /// Returns whether the link was up once.
    #[cfg(feature = "redis")]
    pub(crate) fn was_up(&self) -> bool {
        self.hub.upgrade().is_some_and(|hub| hub.was_up())
    }

    /// Sets the state of the link. Returns whether it has changed.
    pub(crate) fn change_link(&self, link: Link) -> bool {
        self.hub.upgrade().is_some_and(|hub| hub.set_link(link))
    }

    /// Returns the presence of each topic with subscribers on this node. Returns `None` if nothing has changed since the last
    /// call.
    #[must_use]
    pub fn local_presence(&self) -> Option<Vec<TopicPresence>> {
        self.hub.upgrade()?.local_presence()
    }

    /// Sets the presence of each topic with subscribers on another node. An empty list removes the node.
    pub fn node_presence(&self, node: &str, presence: Vec<TopicPresence>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.node_presence(node, presence);
        }
    }
}

impl Incoming {
    /// Creates an entry for an event in a topic.
    #[must_use]
    pub fn new(sequence: u64, topic: impl Into<Arc<str>>, event: Event) -> Self {
        Self { sequence, topic: topic.into(), key: None, event: Some(event), close: false, age: Duration::ZERO }
    }

    /// Creates an entry that closes a topic and has no event.
    #[must_use]
    pub fn close(sequence: u64, topic: impl Into<Arc<str>>) -> Self {
        Self { sequence, topic: topic.into(), key: None, event: None, close: true, age: Duration::ZERO }
    }

    /// Creates an entry that removes a key: its newest event leaves the snapshot.
    #[must_use]
    pub fn remove(sequence: u64, topic: impl Into<Arc<str>>, key: impl Into<Arc<str>>) -> Self {
        Self { close: false, ..Self::close(sequence, topic) }.keyed(key)
    }

    /// Sets the key whose newest event this is.
    #[must_use]
    pub fn keyed(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the time since the event was published. Defaults to zero.
    #[must_use]
    pub fn aged(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("is_closed", &self.is_closed()).finish()
    }
}

/// A service that replicates a hub across nodes. The [module's documentation](crate::backplane) is its contract.
///
/// Both methods return [`futures_core::future::BoxFuture`], which `futures` and `futures-util` export too: each future crosses
/// the network, so that its box is the least of its costs.
pub trait Backplane: Send + Sync + 'static {
    /// Publishes, and returns the id of the last event. See [`EventId::from_position`].
    ///
    /// The publish begins at once, whether or not the future is polled. This method is called from any thread, inside or
    /// outside of a runtime, and must not block.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotSent`] if the events were not and will not be appended, [`PublishError::Unknown`] if that is not
    /// known.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing.
    fn publish(&self, outgoing: Outgoing) -> BoxFuture<'static, Result<EventId, PublishError>>;

    /// Feeds the hub with the retained events and then with new ones, until the [feed is closed](Feed::is_closed).
    ///
    /// The future runs in a task of its own. If it completes before the feed is closed, or panics, the
    /// [link](crate::hub::Hub::link_state) is down, and the hub calls this method again after a pause of 50 ms to 2 s. The
    /// backplane then starts again with [`begin_epoch`](Feed::begin_epoch).
    fn follow(&self, feed: Feed) -> BoxFuture<'static, ()>;
}

/// The events of one publish: a backplane appends all of them to its order, next to each other, or none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outgoing {
    /// The topic.
    pub topic: Arc<str>,
    /// The events, each with its key, if it has one. Ids of these events are ignored.
    pub events: Vec<(Option<Arc<str>>, Event)>,
    /// Closes the topic after the events.
    pub close: bool,
    /// The key to remove, if any. `events` is empty then.
    pub remove_key: Option<Arc<str>>,
    /// The idempotency key, if any: several publishes with the same key in the same topic are appended once, and each is
    /// acknowledged with the id of the first.
    pub idempotency_key: Option<Arc<str>>,
}

impl Outgoing {
    /// Creates an empty publish in this topic.
    pub(crate) fn new(topic: Arc<str>) -> Self {
        Self { topic, events: Vec::new(), close: false, remove_key: None, idempotency_key: None }
    }
}

impl fmt::Debug for dyn Backplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backplane")
    }
}
