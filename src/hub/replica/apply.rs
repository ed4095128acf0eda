//! The hub as the sink of its backplane, and the task that follows the backplane.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::contract::{Feed, Incoming, Sink};
use crate::{
    event::Event,
    hub::{
        core::Core,
        registry::{Registry, RemoteEvent, remote_presence::NodePresence},
        state::{TopicWakes, latest::LatestEntry, members::TopicPresence},
        sync::lock,
    },
    observe::link::Link,
    panic,
    time::jitter,
};

/// Follows the backplane as long as there is a hub. Starts it again after a pause if it ends before.
pub(crate) async fn follow(weak: Weak<Core>) {
    // Also if the runtime ends.
    let _down = DownWhenDropped(Weak::clone(&weak));
    let mut pause = MIN_PAUSE;
    loop {
        let since = Instant::now();
        let following = async {
            let following = {
                let core = weak.upgrade()?;
                let replica = core.replica.as_ref()?;
                let hub: Weak<dyn Sink> = weak.clone();
                replica.backplane.follow(Feed::new(hub, &replica.requests))
            };
            following.await;
            Some(())
        };
        // The panic hook has reported a panic.
        let _ended = panic::catch_future(following).await;
        let Some(core) = weak.upgrade() else { return };
        core.lose_link();
        if core.replica.as_ref().is_none_or(|replica| replica.requests.is_over()) {
            return;
        }
        drop(core);
        // Restarts the back-off after a run that was long enough.
        pause = if since.elapsed() > MAX_PAUSE { MIN_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
        sleep(jitter::longer(pause)).await;
    }
}

struct DownWhenDropped(Weak<Core>);

impl Drop for DownWhenDropped {
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            core.lose_link();
            core.replica.iter().for_each(|replica| replica.requests.set_ended());
        }
    }
}

impl Sink for Core {
    fn epoch(&self) -> u64 {
        self.epoch().id()
    }

    fn largest(&self) -> usize {
        self.settings.bytes
    }

    fn renew(&self, epoch: u64, evicted_through: u64) {
        self.begin_epoch(epoch, evicted_through);
    }

    fn feed(&self, events: Vec<Incoming>) -> Vec<u64> {
        let mut skipped = Vec::new();
        let mut events = events.into_iter().map(Incoming::into_remote).peekable();
        while events.peek().is_some() {
            let (now, batch) = (self.now(), events.by_ref().take(BATCH));
            let wakes = self.with_registry(|registry| registry.apply(batch, &mut skipped, now));
            wakes.into_iter().for_each(TopicWakes::wake);
        }
        skipped
    }

    fn feed_latest(&self, incoming: Incoming) {
        let now = self.now();
        let topic = Arc::clone(&incoming.topic);
        self.with_registry(|registry| {
            registry.apply_latest(&topic, incoming.into_latest(), now);
        });
    }

    fn feed_keys(&self, topic: &str, newest: Vec<Incoming>) {
        let now = self.now();
        let entries = newest.into_iter().filter_map(Incoming::into_latest);
        self.with_registry(|registry| registry.apply_keys(topic, entries, now));
        if let Some(replica) = &self.replica {
            replica.waiting.wake();
        }
    }

    fn find_keys_when_asked(&self) {
        if let Some(replica) = &self.replica {
            replica.finds_keys.store(true, Ordering::Release);
            self.with_registry(Registry::load_keys_on_request);
        }
    }

    /// Removes the topics that are not held any more, or whose keys are known by now.
    fn still_wanted(&self, mut topics: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let ordered = lock(&self.registry);
        topics.retain(|name| ordered.wants_keys(name));
        drop(ordered);
        topics
    }

    /// Returns the topics that are held.
    fn in_use(&self) -> Vec<Arc<str>> {
        let topics = self.topics();
        topics.iter().filter(|topic| topic.is_held()).map(|topic| Arc::clone(topic.name())).collect()
    }

    /// Advances the replica to a sequence, up to which the backplane has no more events.
    fn caught_up(&self, through: u64) {
        let Some(replica) = &self.replica else { return };
        self.with_registry(|registry| {
            registry.advance_to(through);
            replica.set_synced(true);
        });
        replica.sync_count.fetch_add(1, Ordering::AcqRel);
        replica.waiting.wake();
    }

    /// Sets the state of the link. Returns whether it has changed.
    fn set_link(&self, link: Link) -> bool {
        let Some(replica) = &self.replica else { return false };
        replica.link.send_if_modified(|old| std::mem::replace(old, link) != link)
    }

    /// Returns whether the backplane was ever connected.
    fn was_up(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| *replica.link.borrow() != Link::Connecting)
    }

    fn local_presence(&self) -> Option<Vec<TopicPresence>> {
        let replica = self.replica.as_ref()?;
        replica
            .presence_changed
            .swap(false, Ordering::AcqRel)
            .then(|| self.topics().iter().filter_map(|topic| topic.local_presence()).collect())
    }

    fn node_presence(&self, node: &str, presence: Vec<TopicPresence>) {
        let Some(replica) = &self.replica else { return };
        let possible =
            |presence: TopicPresence| TopicPresence { count: presence.count.min(MAX_NODE_STREAMS), ..presence };
        let mut by_topic: NodePresence =
            presence.into_iter().map(|presence| (Arc::clone(&presence.topic), possible(presence))).collect();
        // First for the topics that are created from here on.
        replica.remote_presence.put(node, &by_topic);
        for topic in self.topics() {
            topic.set_node(node, by_topic.remove(topic.name())).wake();
        }
    }
}

impl Incoming {
    fn into_remote(self) -> RemoteEvent {
        let Self { sequence, topic, key, event, close, age } = self;
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        RemoteEvent { sequence, topic, key, event: event.map(Event::into_rest), close, age }
    }

    /// Returns the newest event of a key. Returns `None` if it has no key or no event.
    fn into_latest(self) -> Option<LatestEntry> {
        let Self { sequence, key, event, .. } = self;
        Some(LatestEntry { sequence, key: key?, event: event?.into_rest() })
    }
}

impl Core {
    /// Records that the presence on this node has changed.
    pub(crate) fn presence_changed(&self) {
        if let Some(replica) = &self.replica {
            replica.presence_changed();
        }
    }

    /// Returns whether the keys of these topics are known here. Requests them if not.
    pub(crate) fn knows_keys<'a>(&self, topics: impl Iterator<Item = &'a Arc<str>>) -> bool {
        let Some(replica) = self.replica.as_ref().filter(|replica| replica.finds_keys.load(Ordering::Acquire)) else {
            return true;
        };
        let ordered = lock(&self.registry);
        let unknown: Vec<_> = topics.filter(|name| ordered.wants_keys(name)).cloned().collect();
        let knows_all = unknown.is_empty();
        if !knows_all {
            replica.requests.put(unknown, 2 * self.settings.topics, |name| ordered.wants_keys(name));
        }
        drop(ordered);
        knows_all
    }

    /// Sets the link to down, if it was ever connected.
    fn lose_link(&self) {
        if self.was_up() {
            self.set_link(Link::Down);
        }
    }
}

/// The number of events that are applied under one lock.
const BATCH: usize = 128;

/// The most streams that a node is counted with. A sum over nodes does not overflow.
const MAX_NODE_STREAMS: usize = u32::MAX as usize >> 8;

const MIN_PAUSE: Duration = Duration::from_millis(50);

const MAX_PAUSE: Duration = Duration::from_secs(2);
