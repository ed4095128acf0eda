//! The table of a hub's topics: those that there are, those that can be evicted, and the tombstones of those that were removed.

use std::{
    mem,
    sync::{Arc, Weak},
};

use super::{directory::Directory, eviction::EvictionQueue, remote_presence::RemotePresence, tombstones::Tombstones};
use crate::hub::{
    error::TopicError,
    position::Watermark,
    settings::{Settings, TopicSettings},
    state::{
        Table, TopicShared,
        counts::HubCounts,
        members::Members,
        rank::{EvictionRank, EvictionState, EvictionTicket},
        tombstone::Tombstone,
    },
};

/// The topics of a hub. Changes under the registry's lock.
#[derive(Debug)]
pub(super) struct Topics {
    by_name: Directory<Arc<TopicShared>>,
    unheld: EvictionQueue<Arc<TopicShared>>,
    /// The evicted and the removed topics, to be dropped after the lock, with all that they retain.
    evicted: Vec<Arc<TopicShared>>,
    tombstones: Tombstones,
    watermark: Watermark,
    table: Weak<dyn Table>,
    counts: Arc<HubCounts>,
    settings: TopicSettings,
    remote_presence: Option<Arc<RemotePresence>>,
    /// A backplane loads the keys of a topic on request.
    loads_keys: bool,
    limit: usize,
}

impl Topics {
    pub(super) fn new(
        table: &Weak<dyn Table>,
        settings: &Settings,
        watermark: &Watermark,
        counts: &Arc<HubCounts>,
        remote_presence: Option<Arc<RemotePresence>>,
    ) -> Self {
        Self {
            by_name: Directory::new(),
            unheld: EvictionQueue::new(),
            evicted: Vec::new(),
            tombstones: Tombstones::new(settings.topics),
            watermark: watermark.clone(),
            table: Weak::clone(table),
            counts: Arc::clone(counts),
            settings: settings.of_topic,
            remote_presence,
            loads_keys: false,
            limit: settings.topics,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<TopicShared>> {
        self.by_name.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<TopicShared>> {
        self.by_name.get(name)
    }

    /// Returns the topic whose turn it is.
    pub(super) fn next(&mut self) -> Option<Arc<TopicShared>> {
        self.by_name.next().map(|(_, topic)| Arc::clone(topic))
    }

    /// Returns the topic of this name. Creates it if there is none.
    pub(super) fn open(&mut self, name: &str, now: u64) -> Result<Arc<TopicShared>, TopicError> {
        if let Some(topic) = self.by_name.get(name) {
            return Ok(Arc::clone(topic));
        }
        if name.len() > MAX_NAME {
            return Err(TopicError::name_too_long(name.len(), MAX_NAME));
        }
        if self.by_name.len() >= self.limit {
            self.sweep(SWEEP_STEP_IF_FULL, now);
        }
        if self.by_name.len() >= self.limit && !self.evict_topic() {
            return Err(TopicError::too_many(self.limit));
        }
        let tombstone = self.tombstones.find(name);
        let members = self.remote_presence.as_ref().map_or_else(Members::default, |remote| remote.members(name));
        let topic = TopicShared::new(&self.table, &self.counts, name.into(), &tombstone, self.settings, members);
        self.by_name.insert(Arc::clone(topic.name()), Arc::clone(&topic));
        Ok(topic)
    }

    /// Removes a topic that is not held, if it is closed or empty. Returns it, to be dropped after the lock. Any other topic
    /// that is not held is queued for eviction.
    pub(super) fn release(&mut self, topic: &Arc<TopicShared>) -> Option<Arc<TopicShared>> {
        let is_listed = self.by_name.get(topic.name()).is_some_and(|listed| Arc::ptr_eq(listed, topic));
        if !is_listed || topic.is_held() {
            return None;
        }
        let state = topic.eviction_state();
        if state.is_disposable {
            return self.remove(topic);
        }
        self.queue_for_eviction(topic, &state);
        None
    }

    /// Releases a topic, which is dropped after the lock if it is removed.
    pub(super) fn release_later(&mut self, topic: &Arc<TopicShared>) {
        let removed = self.release(topic);
        self.evicted.extend(removed);
    }

    /// Takes the evicted and the removed topics, to be dropped after the lock.
    pub(super) fn take_evicted(&mut self) -> Vec<Arc<TopicShared>> {
        mem::take(&mut self.evicted)
    }

    /// Queues a topic for eviction, unless it is queued in the right place.
    fn queue_for_eviction(&mut self, topic: &Arc<TopicShared>, state: &EvictionState) {
        let place = |rank: EvictionRank| (rank.is_keyed, rank.read_at);
        if state.ticket.is_some_and(|ticket| place(ticket.rank) == place(state.rank)) {
            return;
        }
        let ticket = self.unheld.put(state.rank, Arc::clone(topic));
        self.set_ticket(topic, Some(ticket));
    }

    fn set_ticket(&mut self, topic: &TopicShared, ticket: Option<EvictionTicket>) {
        if let Some(replaced) = topic.set_ticket(ticket) {
            self.unheld.remove(replaced);
        }
    }

    fn remove(&mut self, topic: &Arc<TopicShared>) -> Option<Arc<TopicShared>> {
        self.set_ticket(topic, None);
        self.tombstones.bury(topic.name(), topic.tombstone(self.watermark.get(), self.settings));
        topic.remove_from_counts();
        self.by_name.remove(topic.name())
    }

    /// Evicts a topic that is not held: first those that never had a subscriber, then the least recently read, and those with
    /// keyed values last. Returns whether there was one.
    fn evict_topic(&mut self) -> bool {
        while let Some((rank, topic)) = self.unheld.pop() {
            // The popped ticket.
            let _ = topic.set_ticket(None);
            if topic.is_held() {
                // Queued again when it is released.
                continue;
            }
            let state = topic.eviction_state();
            if state.rank > rank {
                // It was published in since.
                self.queue_for_eviction(&topic, &state);
                continue;
            }
            self.count_evicted_keys(state.keys);
            let evicted = self.remove(&topic);
            self.evicted.extend(evicted);
            self.counts.add_evicted_topic();
            return true;
        }
        false
    }

    /// Counts keyed values as evicted, unless they are loaded again on request.
    pub(super) fn count_evicted_keys(&self, count: usize) {
        if !self.loads_keys {
            self.counts.add_evicted_keys(count as u64);
        }
    }

    /// Visits the next topics: evicts events that are too old, and removes topics that are not held and are empty or closed.
    pub(super) fn sweep(&mut self, turns: usize, now: u64) {
        for _ in 0..turns {
            let Some((_, topic)) = self.by_name.next() else { return };
            if topic.try_evict_expired(now) && !topic.is_held() {
                let topic = Arc::clone(topic);
                self.release_later(&topic);
            }
        }
    }

    /// Records an event, or a closing, as lost, as there is no room for its topic: later subscribers have missed it.
    pub(super) fn bury_lost(&mut self, name: &str, sequence: u64, close: bool) {
        if name.len() <= MAX_NAME {
            let known = self.tombstones.find(name);
            let closed_since = if close { sequence } else { 0 };
            self.tombstones.bury(&name.into(), Tombstone { through: sequence, closed_since, ..known });
        }
    }

    /// Begins another epoch, in which everything up to a position is evicted and no topic was closed.
    pub(super) fn begin_epoch(&mut self, evicted_through: u64) {
        self.tombstones.begin_epoch(evicted_through);
    }

    /// Has keyed values counted as evicted no more when their topic is evicted, as the backplane loads them on request.
    pub(super) fn load_keys_on_request(&mut self) {
        self.loads_keys = true;
    }
}

/// The number of topics that are swept if there is no room for a new one.
const SWEEP_STEP_IF_FULL: usize = 64;

/// The longest name of a topic, in bytes.
const MAX_NAME: usize = 256;
