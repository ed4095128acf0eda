//! What a hub has to do one thing after the other: numbers, topics, and who has to make room.
//!
//! Under the hub's lock. Topics' own locks are taken within it, never the other way round.

pub(crate) mod directory;
pub(crate) mod reclaim;
pub(crate) mod remote_presence;
pub(crate) mod tombstones;

use crate::hub::state::Table;
use std::{
    cmp,
    collections::{BinaryHeap, VecDeque},
    sync::{Arc, Weak},
};

use crate::hub::{
    registry::remote_presence::RemotePresence,
    settings::Settings,
    state::{rank::ReclaimRank, tombstone::Tombstone},
};

use self::{directory::Directory, reclaim::ReclaimQueue, tombstones::Tombstones};

use super::{
    error::TopicError,
    retention::Retention,
    state::{TopicShared, TopicState, counts::HubCounts, members::Members},
};

/// The last number that was given, and the topics.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) last: u64,
    topics: Directory<Arc<TopicShared>>,
    unheld: ReclaimQueue<Arc<TopicShared>>,
    /// Topics that made room for others, to be dropped after the lock, with all that they kept.
    gone: Vec<Arc<TopicShared>>,
    removed: Tombstones,
    oldest: BinaryHeap<OldestEntry>,
    /// From so many on, those of topics that are gone are taken out.
    oldest_limit: usize,
    once: VecDeque<IdempotentPublish>,
    hub: Weak<dyn Table>,
    tally: Arc<HubCounts>,
    bounds: Retention,
    elsewhere: Option<Arc<RemotePresence>>,
    /// `true` if the keys of a topic are found when they are asked for.
    pub(crate) finds_keys: bool,
    max_bytes: usize,
    max_topics: usize,
}

/// An event that was published under an idempotency key, which is its topic's.
#[derive(Debug)]
struct IdempotentPublish {
    topic: Arc<str>,
    key: Arc<str>,
    sequence: u64,
}

/// A topic by an event that was its oldest once. It is looked at before it is believed.
#[derive(Debug)]
struct OldestEntry {
    sequence: u64,
    topic: Weak<TopicShared>,
}

impl Registry {
    pub(crate) fn new(
        hub: &Weak<dyn Table>,
        settings: &Settings,
        tally: &Arc<HubCounts>,
        elsewhere: Option<Arc<RemotePresence>>,
    ) -> Self {
        Self {
            last: 0,
            topics: Directory::new(),
            unheld: ReclaimQueue::new(),
            gone: Vec::new(),
            removed: Tombstones::new(settings.topics),
            oldest: BinaryHeap::new(),
            oldest_limit: OLDEST_LIMIT,
            once: VecDeque::new(),
            hub: Weak::clone(hub),
            tally: Arc::clone(tally),
            bounds: settings.bounds,
            elsewhere,
            finds_keys: false,
            max_bytes: settings.bytes,
            max_topics: settings.topics,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<TopicShared>> {
        self.topics.iter().cloned().collect()
    }

    /// The topic of this name, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<TopicShared>> {
        self.topics.get(name).cloned()
    }

    /// Returns whether something holds the topic of this name, and its keys are not known.
    pub(crate) fn wants_keys(&self, name: &str) -> bool {
        self.topics.get(name).is_some_and(|topic| topic.is_held() && topic.lock().latest.is_partial())
    }

    /// The topic of this name, new if there is none.
    pub(crate) fn open(&mut self, name: &str, now: u64) -> Result<Arc<TopicShared>, TopicError> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        if name.len() > MAX_NAME {
            return Err(TopicError::name_too_long(name.len(), MAX_NAME));
        }
        if self.topics.len() >= self.max_topics {
            self.visit_next(SWEEP_STEP_IF_FULL, now);
        }
        if self.topics.len() >= self.max_topics && !self.evict_topic() {
            return Err(TopicError::too_many(self.max_topics));
        }
        let gone = self.removed.find(name);
        let members = self.elsewhere.as_ref().map_or_else(Members::default, |elsewhere| elsewhere.members(name));
        let topic = TopicShared::new(&self.hub, &self.tally, name.into(), &gone, self.bounds, members);
        topic.lock().latest.set_partial(self.elsewhere.is_some());
        self.topics.insert(Arc::clone(topic.name()), Arc::clone(&topic));
        Ok(topic)
    }

    /// Returns the position of what was published last in a topic under this idempotency key.
    pub(crate) fn lookup_key(&self, topic: &str, key: &str) -> Option<u64> {
        let mut known = self.once.iter().rev();
        known.find(|once| *once.key == *key && *once.topic == *topic).map(|once| once.sequence)
    }

    /// Notes that the last event was published in a topic under this idempotency key.
    pub(crate) fn remember_key(&mut self, topic: &Arc<str>, key: Arc<str>) {
        self.once.push_back(IdempotentPublish { topic: Arc::clone(topic), key, sequence: self.last });
        if self.once.len() > ONCE_KEYS {
            self.once.pop_front();
        }
    }

    /// Notes that an event of a topic, or its end, is gone: there was no room for the topic.
    pub(crate) fn note_lost(&mut self, name: &str, sequence: u64, closes: bool) {
        if name.len() <= MAX_NAME {
            let known = self.removed.find(name);
            let closed_since = if closes { sequence } else { 0 };
            self.removed.bury(&name.into(), Tombstone { through: sequence, closed_since, ..known });
        }
    }

    /// Another history: everything up to here is gone, in all topics.
    pub(crate) fn begin_epoch(&mut self, gone_through: u64) {
        self.last = gone_through;
        self.removed.begin_epoch(gone_through);
        self.oldest.clear();
    }

    /// Removes a topic that is not held, if it is closed or has nothing. Returns it, to be dropped after the lock. Any other
    /// that is not held gets its place among those that make room for others.
    pub(crate) fn release(&mut self, topic: &Arc<TopicShared>) -> Option<Arc<TopicShared>> {
        let is_here = self.topics.get(topic.name()).is_some_and(|here| Arc::ptr_eq(here, topic));
        if !is_here || topic.is_held() {
            return None;
        }
        let mut state = topic.lock();
        if !state.is_idle() && !state.closings.is_closed() {
            self.place(topic, &mut state);
            return None;
        }
        drop(state);
        self.remove(topic)
    }

    /// Takes the topics that made room for others.
    pub(crate) fn take_gone(&mut self) -> Vec<Arc<TopicShared>> {
        std::mem::take(&mut self.gone)
    }

    /// Puts a topic among those that make room for others, unless it is there.
    fn place(&mut self, topic: &Arc<TopicShared>, state: &mut TopicState) {
        let rank = topic.rank(state);
        let is_right =
            |rank_before: ReclaimRank| (rank_before.is_keyed, rank_before.read_at) == (rank.is_keyed, rank.read_at);
        if state.reclaim_ticket.is_some_and(|place| is_right(place.rank)) {
            return;
        }
        self.displace(state);
        state.reclaim_ticket = Some(self.unheld.put(rank, Arc::clone(topic)));
    }

    fn displace(&mut self, state: &mut TopicState) {
        if let Some(place) = state.reclaim_ticket.take() {
            self.unheld.remove(place);
        }
    }

    fn remove(&mut self, topic: &Arc<TopicShared>) -> Option<Arc<TopicShared>> {
        let mut state = topic.lock();
        self.displace(&mut state);
        let bounds = Some(state.bounds).filter(|bounds| *bounds != self.bounds);
        let gone =
            Tombstone { through: state.newest_through(self.last), closed_since: state.closings.closed_since(), bounds };
        drop(state);
        self.removed.bury(topic.name(), gone);
        self.topics.remove(topic.name())
    }

    /// Lets a topic go that nothing holds: first those that never had a subscriber, then the least recently read, and those
    /// with keyed values last. Returns whether there was one.
    fn evict_topic(&mut self) -> bool {
        while let Some((rank, topic)) = self.unheld.pop() {
            let mut state = topic.lock();
            state.reclaim_ticket = None;
            if topic.is_held() {
                // It gets a place when it is not held any more.
                continue;
            }
            if topic.rank(&state) > rank {
                // Something was published since.
                self.place(&topic, &mut state);
                continue;
            }
            self.loses_keys(state.latest.len());
            drop(state);
            let gone = self.remove(&topic);
            self.gone.extend(gone);
            self.tally.evicts_topic();
            return true;
        }
        false
    }

    /// Counts keyed values that made room for others, unless they are found when they are asked for.
    pub(crate) fn loses_keys(&self, count: usize) {
        if !self.finds_keys {
            self.tally.evicts_keys(count as u64);
        }
    }

    /// Notes a topic's oldest event, unless one of the topic's is noted.
    pub(crate) fn track_oldest(&mut self, topic: &Arc<TopicShared>, state: &mut TopicState) {
        if state.is_tracked {
            return;
        }
        if let Some(oldest) = state.log.oldest() {
            state.is_tracked = true;
            self.oldest.push(OldestEntry { sequence: oldest.sequence, topic: Arc::downgrade(topic) });
        }
        if self.oldest.len() > self.oldest_limit {
            self.oldest.retain(|ranked| ranked.topic.strong_count() > 0);
            // So that it is seldom done, however many are still there.
            self.oldest_limit = OLDEST_LIMIT.max(2 * self.oldest.len());
        }
    }

    /// The oldest events of all go until the hub is within its bound, and then keys. What came after this goes only if that is
    /// not enough: else a hub that is full of keys would keep nothing else.
    pub(crate) fn shrink(&mut self, after: u64) {
        for through in [after, u64::MAX] {
            self.shrink_logs(through);
            self.shrink_latest(through);
        }
    }

    fn shrink_logs(&mut self, through: u64) {
        while self.is_too_large() && self.oldest.peek().is_some_and(|oldest| oldest.sequence <= through) {
            let Some(ranked) = self.oldest.pop() else { break };
            let Some(topic) = ranked.topic.upgrade() else { continue };
            let mut state = topic.lock();
            state.is_tracked = false;
            if state.log.oldest().is_some_and(|oldest| oldest.sequence <= ranked.sequence) {
                state.evict();
            }
            self.track_oldest(&topic, &mut state);
        }
    }

    /// Topic by topic.
    fn shrink_latest(&mut self, through: u64) {
        for _ in 0..if self.is_too_large() { self.topics.len() } else { 0 } {
            let Some((_, topic)) = self.topics.next() else { return };
            let topic = Arc::clone(topic);
            while self.is_too_large() && topic.lock().evict_key(through) {}
        }
    }

    /// Looks after some topics in their turn: what is too old goes, and so do topics that nobody would miss.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.visit_next(SWEEP_STEP.min(self.topics.len()), now);
    }

    fn visit_next(&mut self, turns: usize, now: u64) {
        for _ in 0..turns {
            let Some((_, topic)) = self.topics.next() else { return };
            // One that is in use looks after itself.
            let Some(mut state) = topic.try_lock() else { continue };
            state.expire(now);
            drop(state);
            if !topic.is_held() {
                let topic = Arc::clone(topic);
                self.release(&topic);
            }
        }
    }

    fn is_too_large(&self) -> bool {
        self.tally.kept() > self.max_bytes
    }
}

/// The oldest first: a heap gives the greatest.
impl Ord for OldestEntry {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        other.sequence.cmp(&self.sequence)
    }
}

impl PartialOrd for OldestEntry {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OldestEntry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for OldestEntry {}

/// How many topics each publish and each subscribe looks after.
const SWEEP_STEP: usize = 2;

/// How many one does that finds no room.
const SWEEP_STEP_IF_FULL: usize = 64;

/// How many topics may be noted by their oldest event before it is looked whether they are still there.
const OLDEST_LIMIT: usize = 64;

/// The longest name of a topic, in bytes.
const MAX_NAME: usize = 256;

/// How many idempotency keys are remembered. They are looked through one by one: nobody needs them here but a caller that is
/// written for a hub that is fed.
const ONCE_KEYS: usize = 1024;

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use super::*;
    use crate::{
        event::Event,
        hub::{handle::Hub, sync::lock},
    };

    /// Each left a note of its oldest event, and so its memory, in a hub that never was full.
    #[test]
    fn nothing_is_noted_of_topics_that_are_gone() {
        let hub = Hub::new();
        let kept = hub.topic("kept").unwrap();
        kept.publish(Event::new("1")).try_result().unwrap();
        for number in 0..10 * OLDEST_LIMIT {
            let job = hub.topic(number.to_string()).unwrap();
            job.publish(Event::new("1")).try_result().unwrap();
            job.close(Event::new("last")).try_result().unwrap();
        }
        let ordered = lock(&hub.core().registry);
        assert!(ordered.oldest.len() <= OLDEST_LIMIT + 1, "{}", ordered.oldest.len());
        assert_eq!(ordered.oldest.iter().filter(|ranked| ranked.topic.strong_count() > 0).count(), 1);
    }
}
