//! A backplane in memory: one order that all nodes follow.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_core::future::BoxFuture;
use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tower_sse::{
    EventId,
    backplane::{Backplane, Feed, Incoming, Link, Outgoing, TopicPresence},
    hub::PublishError,
};

/// The shared stream of the nodes. A clone is another handle to it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    order: Mutex<Order>,
    changed: Notify,
}

#[derive(Default)]
struct Order {
    epoch: u64,
    last: u64,
    entries: Vec<Incoming>,
    once: BTreeMap<(Arc<str>, Arc<str>), u64>,
    latest: BTreeMap<(Arc<str>, Arc<str>), Incoming>,
    presence: BTreeMap<usize, Vec<TopicPresence>>,
    nodes: usize,
    /// `true` while no events are delivered.
    is_stopped: bool,
}

/// A node of the backplane.
pub(crate) struct Node(Memory);

impl Memory {
    pub(crate) fn new() -> Self {
        let memory = Self::default();
        memory.order().epoch = 1;
        memory
    }

    pub(crate) fn node(&self) -> Node {
        Node(self.clone())
    }

    /// Empties the stream, and begins another epoch.
    pub(crate) fn lose(&self) {
        let mut order = self.order();
        order.epoch += 1;
        order.last = 0;
        order.entries.clear();
        order.latest.clear();
        drop(order);
        self.0.changed.notify_waiters();
    }

    /// Stops or resumes the delivery to nodes.
    pub(crate) fn stop(&self, is_stopped: bool) {
        self.order().is_stopped = is_stopped;
        self.0.changed.notify_waiters();
    }

    /// Evicts the oldest events.
    pub(crate) fn forget(&self, entries: usize) {
        self.order().entries.drain(..entries);
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.order.lock().expect("no thread panics under the lock")
    }

    /// Delivers the new events since the last read, and their epoch.
    fn read(&self, feed: &Feed, read: &mut Option<(u64, u64)>) {
        let order = self.order();
        if order.is_stopped {
            feed.link(if read.is_some() { Link::Down } else { Link::Connecting });
            return;
        }
        feed.link(Link::Up);
        let through = match read {
            Some((epoch, through)) if *epoch == order.epoch => *through,
            _ => {
                let gone = order.entries.first().map_or(order.last, |first| first.sequence - 1);
                feed.begin_epoch(order.epoch, gone);
                gone
            }
        };
        feed.apply(order.entries.iter().filter(|entry| entry.sequence > through).cloned().collect());
        let is_new = read.is_none_or(|(epoch, _)| epoch != order.epoch);
        let topics = feed.take_wanted().into_iter().chain(if is_new { feed.in_use() } else { Vec::new() });
        order.give_keys(feed, topics);
        feed.synced_through(order.last);
        *read = Some((order.epoch, order.last));
    }

    fn share_presence(&self, feed: &Feed, number: usize) {
        let mut order = self.order();
        if let Some(here) = feed.local_presence() {
            order.presence.insert(number, here);
        }
        for node in (0..order.nodes).filter(|&node| node != number) {
            let there = order.presence.get(&node).cloned().unwrap_or_default();
            feed.node_presence(&node.to_string(), there);
        }
    }

    async fn follow(self, feed: Feed) {
        feed.find_keys_when_asked();
        let number = {
            let mut order = self.order();
            order.nodes += 1;
            order.nodes - 1
        };
        let mut read = None;
        while !feed.is_closed() {
            let changed = self.0.changed.notified();
            self.read(&feed, &mut read);
            self.share_presence(&feed, number);
            let wait = pin!(tokio::time::timeout(Duration::from_millis(500), changed));
            // Requested keys are delivered with the next read, at once.
            if let Either::Right((topics, _)) = select(wait, pin!(feed.wanted())).await {
                self.order().give_keys(&feed, topics);
            }
        }
        self.order().presence.remove(&number);
    }
}

impl Order {
    fn give_keys(&self, feed: &Feed, topics: impl IntoIterator<Item = Arc<str>>) {
        for topic in topics.into_iter().filter(|_| !self.is_stopped) {
            let keys = self.latest.iter().filter(|((of, _), _)| *of == topic);
            feed.apply_keys(&topic, keys.map(|(_, newest)| newest.clone()).collect());
        }
    }

    fn publish(&mut self, outgoing: Outgoing) -> EventId {
        let Outgoing { topic, events, close: closes, remove_key: removes, idempotency_key, .. } = outgoing;
        let once = idempotency_key.map(|key| (Arc::clone(&topic), key));
        if let Some(&sequence) = once.as_ref().and_then(|once| self.once.get(once)) {
            return EventId::from_position(self.epoch, sequence);
        }
        for (key, event) in events {
            self.last += 1;
            let mut incoming = Incoming::new(self.last, Arc::clone(&topic), event);
            if let Some(key) = &key {
                incoming = incoming.keyed(Arc::clone(key));
                self.latest.insert((Arc::clone(&topic), Arc::clone(key)), incoming.clone());
            }
            self.entries.push(incoming);
        }
        if let Some(key) = removes {
            self.latest.remove(&(Arc::clone(&topic), Arc::clone(&key)));
            self.last += 1;
            self.entries.push(Incoming::remove(self.last, Arc::clone(&topic), key));
        }
        if closes {
            self.last += 1;
            self.latest.retain(|(of, _), _| *of != topic);
            self.entries.push(Incoming::close(self.last, topic));
        }
        if let Some(once) = once {
            self.once.insert(once, self.last);
        }
        EventId::from_position(self.epoch, self.last)
    }
}

impl Backplane for Node {
    fn publish(&self, outgoing: Outgoing) -> BoxFuture<'static, Result<EventId, PublishError>> {
        let id = self.0.order().publish(outgoing);
        self.0.0.changed.notify_waiters();
        Box::pin(std::future::ready(Ok(id)))
    }

    fn follow(&self, feed: Feed) -> BoxFuture<'static, ()> {
        Box::pin(self.0.clone().follow(feed))
    }
}
