//! What the handles of a hub share: the one order of all its events, and its topics.
//!
//! A sequence is given and its event appended under one short lock, and the topic's within it. So whoever reads the
//! watermark first, and then the logs, finds in them every event up to it.

use crate::hub::state::Table;
use crate::hub::state::ToWake;
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    hub::{position::Epoch, replica::Replica, settings::Settings, wake::lane::WakeQueues},
    panic,
    time::jitter,
};

use super::{
    error::{PublishError, TopicError},
    health::HubHealth,
    position::Position,
    registry::Registry,
    retention::Retention,
    state::{TopicShared, TopicState, counts::HubCounts, hold::Hold, log::Entry},
    sync::{Mutex, lock},
};

/// A hub.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) wake_queues: WakeQueues<Arc<TopicShared>>,
    /// What feeds it, if it does not stand by itself.
    pub(crate) replica: Option<Replica>,
    pub(super) epoch: Mutex<Arc<Epoch>>,
    pub(super) epoch_number: AtomicU64,
    /// The era's, for whoever needs no more of it. Changes under the lock of the order.
    pub(super) epoch_id: AtomicU64,
    began: Instant,
    /// Everything up to here is in the logs.
    pub(super) watermark: AtomicU64,
    pub(super) counts: Arc<HubCounts>,
    pub(super) registry: Mutex<Registry>,
}

/// What becomes of a topic after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterAppend {
    Keep,
    Close,
}

/// Topics, and where the hub was when they were looked up.
pub(crate) struct Lookup {
    pub(crate) topics: Vec<Hold>,
    pub(crate) era: Arc<Epoch>,
    pub(crate) head: u64,
    /// Everything that there is of the history had come by then.
    pub(crate) has_begun: bool,
}

impl Core {
    pub(crate) fn new(settings: Settings, fed: Option<Replica>) -> Arc<Self> {
        Arc::new_cyclic(|hub| Self::of(hub, settings, fed))
    }

    fn of(hub: &Weak<Self>, settings: Settings, fed: Option<Replica>) -> Self {
        let (tally, epoch) = (Arc::default(), jitter::random());
        let table: Weak<dyn Table> = hub.clone();
        let elsewhere = fed.as_ref().map(|fed| Arc::clone(&fed.remote_presence));
        Self {
            registry: Mutex::new(Registry::new(&table, &settings, &tally, elsewhere)),
            settings,
            replica: fed,
            wake_queues: WakeQueues::new(),
            epoch: Mutex::new(Arc::new(Epoch::new(0, epoch))),
            epoch_id: AtomicU64::new(epoch),
            epoch_number: AtomicU64::new(0),
            began: Instant::now(),
            watermark: AtomicU64::new(0),
            counts: tally,
        }
    }

    /// The history that events are of now.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        Arc::clone(&lock(&self.epoch))
    }

    /// The same, once all topics are of it.
    pub(crate) fn epoch_of_all_topics(&self) -> Arc<Epoch> {
        // One history takes the place of another under this lock.
        let _ordered = lock(&self.registry);
        self.epoch()
    }

    fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch_id.load(Ordering::Relaxed), sequence }
    }

    /// Whether this history has not ended. Asked under a topic's lock, the topic is of it.
    pub(crate) fn is_current(&self, era: &Epoch) -> bool {
        self.epoch_number.load(Ordering::Acquire) == era.number
    }

    /// Everything up to here is in the logs.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// Milliseconds since long before the hub began, so that what is fed may be older than the hub.
    pub(crate) fn now(&self) -> u64 {
        CLOCK_START + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// What all topics keep, in bytes.
    pub(crate) fn bytes_used(&self) -> usize {
        self.counts.kept()
    }

    pub(crate) fn health(&self) -> HubHealth {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HubHealth {
            topics: self.topic_count(),
            held_topics: self.counts.held(),
            max_topics: self.settings.topics,
            bytes: self.bytes_used(),
            max_bytes: self.settings.bytes,
            refused: count(&self.counts.refused),
            evicted_topics: count(&self.counts.evicted_topics),
            evicted_keys: count(&self.counts.evicted_keys),
        }
    }

    pub(crate) fn topic_count(&self) -> usize {
        lock(&self.registry).len()
    }

    /// The topic of this name, new if there is none. With bounds, they are its bounds from here on.
    pub(crate) fn topic(&self, name: &str, bounds: Option<Retention>) -> Result<Hold, TopicError> {
        let now = self.now();
        let mut ordered = lock(&self.registry);
        let topic = ordered.open(name, now).map(|topic| Hold::on(&topic));
        let _gone = ordered.take_gone();
        drop(ordered);
        let topic = topic.inspect_err(|error| self.refuses(error))?;
        if let Some(bounds) = bounds {
            let mut state = topic.lock();
            state.bounds = bounds;
            state.trim(now);
        }
        Ok(topic)
    }

    fn refuses(&self, error: &TopicError) {
        if error.is_full() {
            self.counts.refuses();
        }
    }

    /// These topics, and the position at which they were looked up: what is published from here on is above it.
    pub(crate) fn subscribe(&self, names: &[Arc<str>]) -> Result<Lookup, TopicError> {
        let now = self.now();
        let mut ordered = lock(&self.registry);
        ordered.sweep(now);
        let (mut topics, mut refused) = (Vec::with_capacity(names.len()), None);
        for name in names {
            match ordered.open(name, now) {
                Ok(topic) => {
                    topic.read_at(now);
                    topics.push(Hold::on(&topic));
                }
                Err(error) => refused = Some(error),
            }
        }
        // All of it changes under the same lock.
        let has_begun = self.replica.as_ref().is_none_or(Replica::is_synced);
        let found = Lookup { topics, era: self.epoch(), head: ordered.last, has_begun };
        let _gone = ordered.take_gone();
        drop(ordered);
        refused.inspect(|error| self.refuses(error)).map_or(Ok(found), Err)
    }

    /// The one way in: these events come, in this order, with nothing between them, and then the topic ends or goes on. The
    /// largest counts for `size` bytes. Gives the position of the last.
    ///
    /// A topic that is closed is opened by the first. What was published once under an idempotency key is not published again.
    pub(crate) fn append(
        &self,
        topic: &Hold,
        size: usize,
        events: impl ExactSizeIterator<Item = (Option<Arc<str>>, Bytes)>,
        once: Option<Arc<str>>,
        then: AfterAppend,
    ) -> Result<Position, PublishError> {
        let now = self.now();
        let mut ordered = lock(&self.registry);
        if let Some(sequence) = once.as_ref().and_then(|key| ordered.lookup_key(topic.name(), key)) {
            return Ok(self.position(sequence));
        }
        let before = ordered.last;
        if then == AfterAppend::Close && events.len() == 0 {
            // An end has its place in the order, so that a cursor is before or behind it.
            ordered.last += 1;
        }
        let mut sequence = before;
        let entries = events.map(|(key, event)| {
            sequence += 1;
            Entry { sequence, at: now, key, event }
        });
        let to_tell = self.append_entries(&mut ordered, topic, size, entries, then)?;
        if let Some(key) = once {
            ordered.remember_key(topic.name(), key);
        }
        ordered.shrink(before);
        ordered.sweep(now);
        let last = self.position(ordered.last);
        drop(ordered);
        self.wake(topic, to_tell);
        Ok(last)
    }

    /// Each topic there is.
    pub(crate) fn all_topics(&self) -> Vec<Arc<TopicShared>> {
        lock(&self.registry).all()
    }

    pub(super) fn append_entries(
        &self,
        ordered: &mut Registry,
        topic: &Arc<TopicShared>,
        size: usize,
        entries: impl Iterator<Item = Entry>,
        then: AfterAppend,
    ) -> Result<ToWake, PublishError> {
        let mut state = topic.lock();
        self.fits(&state, size)?;
        for entry in entries {
            ordered.last = entry.sequence;
            state.append(entry);
        }
        let closes = then == AfterAppend::Close;
        if closes {
            state.closings.close(ordered.last);
        }
        // Still under the topic's lock: whoever finds these events there also finds them below the watermark.
        self.watermark.store(ordered.last, Ordering::Release);
        ordered.track_oldest(topic, &mut state);
        let producers = if closes { state.readers.release_producers() } else { Vec::new() };
        Ok(ToWake { lanes: state.waiters.queue_lanes(), producers, closes })
    }

    /// Whether an event that counts for so much is not too large, asked before it is sent elsewhere.
    pub(crate) fn check_size(&self, topic: &TopicShared, size: usize) -> Result<(), PublishError> {
        self.fits(&topic.lock(), size)
    }

    pub(super) fn fits(&self, topic: &TopicState, size: usize) -> Result<(), PublishError> {
        let limit = topic.bounds.bytes.min(self.settings.bytes);
        if size > limit { Err(PublishError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Has those who wait woken: by their pumps, or, where there is none, here.
    pub(super) fn wake(&self, topic: &Arc<TopicShared>, to_tell: ToWake) {
        for lane in to_tell.lanes {
            let is_told = lane.is_pumped() && lane.enqueue(Arc::clone(topic)).is_ok();
            if !is_told {
                let wakers = topic.lock().waiters.take(&lane, slab::Slab::new());
                panic::wake_all(wakers.into_iter().map(|(_, waker)| waker));
            }
        }
        if !to_tell.producers.is_empty() {
            panic::wake_all(to_tell.producers);
        }
        if to_tell.closes {
            topic.arrivals.notify_waiters();
        }
    }
}

/// When a hub begins, in milliseconds: 139 years.
const CLOCK_START: u64 = 1 << 42;

impl Table for Core {
    fn release(&self, topic: &Arc<TopicShared>) {
        // Dropped after the lock, with all that it kept.
        let _removed = lock(&self.registry).release(topic);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.wake_queues.close();
    }
}
