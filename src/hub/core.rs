//! The state that the handles of a hub share: its epoch, its clock and its registry.
//!
//! A sequence is assigned and its event appended under the registry's lock, and the topic's within it. A reader that loads
//! the watermark first, and then reads the logs, finds every event up to it.
//!
//! Lock order: the registry, then a topic, then one of its lanes or what is known of other nodes. The epoch's lock is taken
//! within any other.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::time::jitter;

use super::{
    error::{PublishError, TopicError},
    health::HubHealth,
    position::{Epoch, Position, Watermark},
    registry::{Publish, Registry},
    replica::Replica,
    retention::Retention,
    settings::Settings,
    state::{Table, TopicShared, TopicWakes, counts::HubCounts, hold::Hold},
    sync::{Mutex, lock},
    wake::queue::WakeQueues,
};

/// The shared state of a hub.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) wake_queues: WakeQueues<Arc<TopicShared>>,
    /// The backplane, if there is one.
    pub(crate) replica: Option<Replica>,
    pub(crate) watermark: Watermark,
    pub(super) registry: Mutex<Registry>,
    epoch: Mutex<Arc<Epoch>>,
    /// The number of the epoch. Changes under the registry's lock, before any topic is of the new epoch.
    epoch_number: AtomicU64,
    /// The id of the epoch, for code that needs nothing else of it. Changes under the registry's lock.
    epoch_id: AtomicU64,
    began: Instant,
    counts: Arc<HubCounts>,
}

/// The topics of a subscription, and the position of the hub when they were looked up.
pub(crate) struct Lookup {
    pub(crate) topics: Vec<Hold>,
    pub(crate) epoch: Arc<Epoch>,
    /// The last sequence. What is published after the look-up is above it.
    pub(crate) head: u64,
    /// The node had read the whole log of its backplane by then.
    pub(crate) is_synced: bool,
}

impl Core {
    pub(crate) fn new(settings: Settings, replica: Option<Replica>) -> Arc<Self> {
        Arc::new_cyclic(|core| Self::of(core, settings, replica))
    }

    fn of(core: &Weak<Self>, settings: Settings, replica: Option<Replica>) -> Self {
        let (counts, epoch, watermark) = (Arc::default(), jitter::random(), Watermark::default());
        let table: Weak<dyn Table> = core.clone();
        let remote_presence = replica.as_ref().map(|replica| Arc::clone(&replica.remote_presence));
        Self {
            registry: Mutex::new(Registry::new(&table, &settings, &watermark, &counts, remote_presence)),
            settings,
            wake_queues: WakeQueues::new(),
            replica,
            watermark,
            epoch: Mutex::new(Arc::new(Epoch::new(0, epoch))),
            epoch_number: AtomicU64::new(0),
            epoch_id: AtomicU64::new(epoch),
            began: Instant::now(),
            counts,
        }
    }

    /// Calls this with the registry. Topics that it evicts are dropped after the lock.
    #[inline]
    pub(super) fn with_registry<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = lock(&self.registry);
        let output = change(&mut registry);
        let _evicted = registry.take_evicted();
        drop(registry);
        output
    }

    /// Returns the current epoch.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        Arc::clone(&lock(&self.epoch))
    }

    /// Returns the current epoch, once all topics are of it.
    pub(crate) fn epoch_of_all_topics(&self) -> Arc<Epoch> {
        // One epoch follows another under this lock.
        let _registry = lock(&self.registry);
        self.epoch()
    }

    /// Begins another epoch, in which everything up to a position is evicted.
    pub(super) fn begin_epoch(&self, id: u64, evicted_through: u64) {
        let wakes = self.with_registry(|registry| {
            if let Some(replica) = &self.replica {
                replica.set_synced(false);
            }
            // Before the topics, so that nothing in them is taken for an event of the old epoch.
            let number = self.epoch().number + 1;
            *lock(&self.epoch) = Arc::new(Epoch::new(number, id));
            self.epoch_id.store(id, Ordering::Relaxed);
            self.epoch_number.store(number, Ordering::Release);
            registry.begin_epoch(evicted_through)
        });
        wakes.into_iter().for_each(TopicWakes::wake);
    }

    /// Returns whether this epoch is the current one. If it is under a topic's lock, the topic is of it.
    pub(crate) fn is_current(&self, epoch: &Epoch) -> bool {
        self.epoch_number.load(Ordering::Acquire) == epoch.number
    }

    /// Returns the sequence up to which every event is in the logs.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.get()
    }

    /// Returns the time in milliseconds. It starts long before the hub does, so that an event of a backplane may be older than
    /// the hub.
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// Returns this instant in milliseconds, as [`now`](Self::now) does.
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.began);
        CLOCK_START + since.as_secs().saturating_mul(1000).min(u64::MAX / 2) + u64::from(since.subsec_millis())
    }

    /// Returns the instant of a time.
    pub(crate) fn instant(&self, time: u64) -> Instant {
        self.began + Duration::from_millis(time.saturating_sub(CLOCK_START))
    }

    /// Returns the bytes that all topics retain.
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

    /// Returns all topics.
    pub(crate) fn topics(&self) -> Vec<Arc<TopicShared>> {
        lock(&self.registry).topics()
    }

    /// Returns the topic of this name. Creates it if there is none, and sets its bounds if there are some.
    pub(crate) fn topic(&self, name: &str, bounds: Option<Retention>) -> Result<Hold, TopicError> {
        let now = self.now();
        let topic = self.with_registry(|registry| registry.open(name, now));
        let topic = topic.inspect_err(|error| self.count_refused(error))?;
        if let Some(bounds) = bounds {
            topic.set_bounds(bounds, now);
        }
        Ok(topic)
    }

    /// Returns the topic of this name, if there is one.
    pub(crate) fn get_topic(&self, name: &str) -> Option<Hold> {
        lock(&self.registry).get(name)
    }

    fn count_refused(&self, error: &TopicError) {
        if error.is_full() {
            self.counts.add_refused();
        }
    }

    /// Returns the topics of these names, and the position at which they were looked up.
    pub(crate) fn subscribe(&self, names: &[Arc<str>]) -> Result<Lookup, TopicError> {
        let now = self.now();
        let (lookup, error) = self.with_registry(|registry| {
            let (topics, error) = registry.open_all(names, now);
            // All of it changes under this lock.
            let is_synced = self.replica.as_ref().is_none_or(Replica::is_synced);
            (Lookup { topics, epoch: self.epoch(), head: registry.last(), is_synced }, error)
        });
        error.inspect(|error| self.count_refused(error)).map_or(Ok(lookup), Err)
    }

    /// Publishes events in a topic. Returns the position of the last.
    pub(crate) fn append<I>(&self, topic: &Hold, publish: Publish<I>) -> Result<Position, PublishError>
    where
        I: ExactSizeIterator<Item = (Option<Arc<str>>, Bytes)>,
    {
        let now = self.now();
        let appended = self.with_registry(|registry| {
            let appended = registry.append(topic, publish, now)?;
            Ok::<_, PublishError>((self.epoch_id.load(Ordering::Relaxed), appended))
        });
        let (epoch, (sequence, wakes)) = appended?;
        wakes.wake();
        Ok(Position { epoch, sequence })
    }

    /// Returns an error if an event of this size is too large for the topic: asked before it is sent to the backplane.
    pub(crate) fn check_size(&self, topic: &TopicShared, size: usize) -> Result<(), PublishError> {
        topic.check_size(size, self.settings.bytes)
    }
}

/// The time at which a hub begins, in milliseconds: 139 years.
const CLOCK_START: u64 = 1 << 42;

impl Table for Core {
    fn release(&self, topic: &Arc<TopicShared>) {
        // Dropped after the lock, with all that it retains.
        let _removed = lock(&self.registry).release(topic);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.wake_queues.end();
    }
}
