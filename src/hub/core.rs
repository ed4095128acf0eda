//! What the handles of a hub share: the one order of all its events, and its topics.
//!
//! A sequence is given and its event appended under one short lock, and the topic's within it. So whoever reads the
//! watermark first, and then the logs, finds in them every event up to it.

use std::{
    cmp::Ordering as Order,
    collections::BinaryHeap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    bounds::Bounds,
    builder::Settings,
    directory::Directory,
    error::{PublishError, TopicError},
    log::Entry,
    position::Position,
    pump::{Lanes, TopicLane},
    removed::Removed,
    sync::{Mutex, lock},
    topic_state::{TopicShared, TopicState},
};
use crate::jitter;

/// A hub.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) lanes: Lanes,
    epoch: u64,
    /// What stands before the sequence on an id line.
    prefix: Box<[u8]>,
    began: Instant,
    /// Everything up to here is in the logs.
    watermark: AtomicU64,
    kept: Arc<AtomicUsize>,
    ordered: Mutex<Ordered>,
}

/// What has to be done one after the other.
#[derive(Debug)]
struct Ordered {
    last: u64,
    topics: Directory<Arc<TopicShared>>,
    removed: Removed,
    oldest: BinaryHeap<Ranked>,
}

/// A topic by an event that was its oldest once. It is looked at before it is believed.
#[derive(Debug)]
struct Ranked {
    sequence: u64,
    topic: Weak<TopicShared>,
}

/// What becomes of a topic after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    Close,
}

/// Who has to know of an append.
struct ToTell {
    lanes: Vec<Arc<TopicLane>>,
    producers: Vec<Waker>,
}

impl Core {
    pub(crate) fn new(settings: Settings) -> Self {
        let epoch = jitter::random();
        let first = Position { epoch, sequence: 0 }.to_string();
        let prefix = format!("id: {}", first.trim_end_matches('0')).into_bytes().into();
        let removed = Removed::new(settings.topics);
        let ordered = Ordered { last: 0, topics: Directory::new(), removed, oldest: BinaryHeap::new() };
        Self {
            settings,
            lanes: Lanes::new(),
            epoch,
            prefix,
            began: Instant::now(),
            watermark: AtomicU64::new(0),
            kept: Arc::default(),
            ordered: Mutex::new(ordered),
        }
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }

    /// Everything up to here is in the logs.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// Milliseconds since the hub began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What all topics keep, in bytes.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn topics(&self) -> usize {
        lock(&self.ordered).topics.len()
    }

    /// The topic of this name, new if there is none. With bounds, they are its bounds from here on.
    pub(crate) fn topic(&self, name: &str, bounds: Option<Bounds>) -> Result<Arc<TopicShared>, TopicError> {
        let now = self.now();
        let topic = self.find(&mut lock(&self.ordered), name, now)?;
        if let Some(bounds) = bounds {
            let mut state = topic.lock();
            state.bounds = bounds;
            state.trim(now);
        }
        Ok(topic)
    }

    /// These topics, and the position at which they were looked up: what is published from here on is above it.
    pub(crate) fn subscribe(&self, names: &[Arc<str>]) -> Result<(Vec<Arc<TopicShared>>, u64), TopicError> {
        let now = self.now();
        let mut ordered = lock(&self.ordered);
        self.sweep(&mut ordered, TURNS, now);
        let topics = names.iter().map(|name| self.find(&mut ordered, name, now)).collect::<Result<_, _>>()?;
        Ok((topics, ordered.last))
    }

    /// The one way in: these events come, in this order, with nothing between them, and then the topic ends or goes on. The
    /// largest counts for `size` bytes. Gives the sequence of the last.
    ///
    /// A topic that is closed is looked up again, or, if it is to be closed, left alone.
    pub(crate) fn append(
        &self,
        topic: &Arc<TopicShared>,
        size: usize,
        events: impl Iterator<Item = (Option<Arc<str>>, Bytes)>,
        then: Then,
    ) -> Result<u64, PublishError> {
        let now = self.now();
        let mut ordered = lock(&self.ordered);
        let found;
        let topic = match (topic.is_closed(), then) {
            (false, _) => topic,
            (true, Then::Close) => return Ok(ordered.last),
            (true, Then::GoOn) => {
                found = self.find(&mut ordered, topic.name(), now)?;
                &found
            }
        };
        let to_tell = self.append_in_order(&mut ordered, topic, size, events, now, then)?;
        self.shrink(&mut ordered);
        self.sweep(&mut ordered, TURNS, now);
        // Dropped only after the lock.
        let _closed = (then == Then::Close).then(|| ordered.close(topic));
        let last = ordered.last;
        drop(ordered);
        self.tell(topic, to_tell);
        Ok(last)
    }

    /// A subscriber has left this topic, and nobody else is known to use it.
    pub(crate) fn release(&self, name: &str) {
        let mut ordered = lock(&self.ordered);
        let Ordered { topics, removed, .. } = &mut *ordered;
        if topics.get(name).is_some_and(is_unused) {
            remove(topics, removed, name);
        }
    }

    /// Each topic there is.
    pub(crate) fn all_topics(&self) -> Vec<Arc<TopicShared>> {
        lock(&self.ordered).topics.iter().cloned().collect()
    }

    fn find(&self, ordered: &mut Ordered, name: &str, now: u64) -> Result<Arc<TopicShared>, TopicError> {
        if let Some(topic) = ordered.topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        if name.len() > MAX_NAME {
            return Err(TopicError::name_too_long(name.len(), MAX_NAME));
        }
        let limit = self.settings.topics;
        if ordered.topics.len() >= limit {
            self.sweep(ordered, TURNS_IF_FULL, now);
        }
        if ordered.topics.len() >= limit {
            return Err(TopicError::too_many(limit));
        }
        let gone = ordered.removed.take(name);
        let topic = TopicShared::new(name.into(), self.settings.bounds, &self.kept, gone);
        ordered.topics.insert(Arc::clone(topic.name()), Arc::clone(&topic));
        Ok(topic)
    }

    fn append_in_order(
        &self,
        ordered: &mut Ordered,
        topic: &Arc<TopicShared>,
        size: usize,
        events: impl Iterator<Item = (Option<Arc<str>>, Bytes)>,
        now: u64,
        then: Then,
    ) -> Result<ToTell, PublishError> {
        let mut state = topic.lock();
        let limit = state.bounds.bytes.min(self.settings.bytes);
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        for (key, event) in events {
            ordered.last += 1;
            state.append(Entry { sequence: ordered.last, at: now, key, event });
        }
        // Still under the topic's lock: whoever finds these events there also finds them below the watermark.
        self.watermark.store(ordered.last, Ordering::Release);
        ordered.rank(topic, &mut state);
        if then == Then::GoOn {
            return Ok(ToTell { lanes: state.waiters.mark(), producers: Vec::new() });
        }
        // Not before the last event is there, nor when somebody could wait already who would not be woken.
        topic.close();
        Ok(ToTell { lanes: state.waiters.mark(), producers: state.readers.release_producers() })
    }

    /// Has those who wait woken: by their pumps, or, where there is none, here.
    fn tell(&self, topic: &Arc<TopicShared>, to_tell: ToTell) {
        for lane in to_tell.lanes {
            if lane.has_pump() {
                lane.put(Arc::clone(topic));
            } else {
                let wakers = topic.lock().waiters.take(&lane, slab::Slab::new());
                wakers.into_iter().for_each(|(_, waker)| waker.wake());
            }
        }
        to_tell.producers.into_iter().for_each(Waker::wake);
        if topic.is_closed() {
            topic.arrivals.notify_waiters();
        }
    }

    /// The oldest events of all go, until the hub is within its bound.
    fn shrink(&self, ordered: &mut Ordered) {
        while self.kept() > self.settings.bytes {
            let Some(ranked) = ordered.oldest.pop() else { break };
            let Some(topic) = ranked.topic.upgrade() else { continue };
            let mut state = topic.lock();
            state.is_ranked = false;
            if state.log.oldest().is_some_and(|oldest| oldest.sequence <= ranked.sequence) {
                state.evict();
            }
            ordered.rank(&topic, &mut state);
        }
        // No event is left in any log: now keys, topic by topic.
        for _ in 0..ordered.topics.len() {
            let Some((_, topic)) = ordered.topics.next() else { return };
            while self.kept() > self.settings.bytes && topic.lock().evict_key() {}
        }
    }

    /// Looks after topics in their turn: what is too old goes, and so do topics that nobody would miss.
    fn sweep(&self, ordered: &mut Ordered, turns: usize, now: u64) {
        for _ in 0..turns {
            let Some((name, topic)) = ordered.topics.next() else { return };
            // One that is in use looks after itself.
            let Some(mut state) = topic.try_lock() else { continue };
            state.expire(now);
            drop(state);
            if is_unused(topic) {
                let name = Arc::clone(name);
                remove(&mut ordered.topics, &mut ordered.removed, &name);
            }
        }
    }
}

impl Ordered {
    /// A topic that is closed is not found any more.
    fn close(&mut self, topic: &TopicShared) -> Option<Arc<TopicShared>> {
        self.removed.put(topic.name(), topic.lock().log.last());
        self.topics.remove(topic.name())
    }

    /// Notes a topic's oldest event, unless one of the topic's is noted.
    fn rank(&mut self, topic: &Arc<TopicShared>, state: &mut TopicState) {
        if state.is_ranked {
            return;
        }
        if let Some(oldest) = state.log.oldest() {
            state.is_ranked = true;
            self.oldest.push(Ranked { sequence: oldest.sequence, topic: Arc::downgrade(topic) });
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

/// Whether only the directory holds it. Under the hub's lock nobody else can come to hold it.
fn is_unused(topic: &Arc<TopicShared>) -> bool {
    Arc::strong_count(topic) == 1 && topic.lock().is_idle()
}

fn remove(topics: &mut Directory<Arc<TopicShared>>, removed: &mut Removed, name: &str) {
    if let Some(topic) = topics.remove(name) {
        removed.put(topic.name(), topic.lock().log.last());
    }
}

/// The oldest first: a heap gives the greatest.
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Order {
        other.sequence.cmp(&self.sequence)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Ranked {}

/// How many topics each publish and each subscribe looks after.
const TURNS: usize = 2;

/// How many one does that finds no room.
const TURNS_IF_FULL: usize = 64;

/// The longest name of a topic, in bytes.
const MAX_NAME: usize = 256;
