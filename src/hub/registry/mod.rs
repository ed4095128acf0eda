//! The topics of a hub and the order of its events, under the hub's lock.
//!
//! The registry assigns each sequence, appends to the topics, and decides which events, keyed values and topics are evicted.
//! To evict is to remove something that a reader may miss, because of a bound: of bytes, of events, of age, of keys or of
//! topics. A sweep visits a few topics in turn, so that the bounds of age hold in topics that are not in use, and so that
//! topics that are empty or closed are removed.
//!
//! Lock order: a topic's lock is taken within this one, never the other way round.

pub(crate) mod directory;
pub(crate) mod eviction;
pub(crate) mod idempotency;
pub(crate) mod oldest;
pub(crate) mod remote_presence;
pub(crate) mod tombstones;
mod topics;

use std::sync::{Arc, Weak};

use bytes::Bytes;

use self::{idempotency::IdempotencyKeys, oldest::OldestEvents, remote_presence::RemotePresence, topics::Topics};

use super::{
    error::{PublishError, TopicError},
    position::Watermark,
    settings::Settings,
    state::{
        Appended, Table, TopicShared, TopicWakes,
        append::{AfterAppend, Append},
        counts::HubCounts,
        hold::Hold,
        latest::LatestEntry,
        log::Entry,
    },
};

/// The order of a hub's events, and its topics.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The last sequence. Every event up to it is in the logs.
    watermark: Watermark,
    /// The time of the newest event from a backplane. Later events are never older.
    last_at: u64,
    topics: Topics,
    oldest: OldestEvents<TopicShared>,
    idempotency_keys: IdempotencyKeys,
    counts: Arc<HubCounts>,
    max_bytes: usize,
}

/// Events to publish next to each other in a topic.
pub(crate) struct Publish<I> {
    pub(crate) events: I,
    /// The size of the largest event.
    pub(crate) size: usize,
    pub(crate) idempotency_key: Option<Arc<str>>,
    pub(crate) then: AfterAppend,
}

/// An event of a backplane, whose sequence is assigned already.
pub(crate) struct RemoteEvent {
    pub(crate) sequence: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) event: Option<Bytes>,
    pub(crate) close: bool,
    /// Milliseconds since it was published.
    pub(crate) age: u64,
}

impl Registry {
    pub(crate) fn new(
        table: &Weak<dyn Table>,
        settings: &Settings,
        watermark: &Watermark,
        counts: &Arc<HubCounts>,
        remote_presence: Option<Arc<RemotePresence>>,
    ) -> Self {
        Self {
            watermark: watermark.clone(),
            last_at: 0,
            topics: Topics::new(table, settings, watermark, counts, remote_presence),
            oldest: OldestEvents::new(),
            idempotency_keys: IdempotencyKeys::default(),
            counts: Arc::clone(counts),
            max_bytes: settings.bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Returns the last sequence.
    pub(crate) fn last(&self) -> u64 {
        self.watermark.get()
    }

    /// Returns all topics.
    pub(crate) fn topics(&self) -> Vec<Arc<TopicShared>> {
        self.topics.iter().cloned().collect()
    }

    /// Returns the topic of this name, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<Hold> {
        self.topics.get(name).map(Hold::on)
    }

    /// Returns the topic of this name. Creates it if there is none.
    pub(crate) fn open(&mut self, name: &str, now: u64) -> Result<Hold, TopicError> {
        self.topics.open(name, now).map(|topic| Hold::on(&topic))
    }

    /// Releases a topic. Returns it if it is removed, to be dropped after the lock.
    pub(crate) fn release(&mut self, topic: &Arc<TopicShared>) -> Option<Arc<TopicShared>> {
        self.topics.release(topic)
    }

    /// Takes the evicted and the removed topics, to be dropped after the lock.
    pub(crate) fn take_evicted(&mut self) -> Vec<Arc<TopicShared>> {
        self.topics.take_evicted()
    }

    /// Returns whether the topic of this name is held, and its keyed values have to be loaded.
    pub(crate) fn wants_keys(&self, name: &str) -> bool {
        self.topics.get(name).is_some_and(|topic| topic.is_held() && topic.lacks_keys())
    }

    /// Has keyed values counted as evicted no more when their topic is evicted, as the backplane loads them on request.
    pub(crate) fn load_keys_on_request(&mut self) {
        self.topics.load_keys_on_request();
    }

    /// Opens the topics of a subscription. Returns the last error beside the topics that could be opened.
    ///
    /// Lock order: the holds are dropped after the lock, also on an error.
    pub(crate) fn open_all(&mut self, names: &[Arc<str>], now: u64) -> (Vec<Hold>, Option<TopicError>) {
        self.sweep(now);
        let (mut topics, mut error) = (Vec::with_capacity(names.len()), None);
        for name in names {
            match self.topics.open(name, now) {
                Ok(topic) => {
                    topic.read_at(now);
                    topics.push(Hold::on(&topic));
                }
                Err(refused) => error = Some(refused),
            }
        }
        (topics, error)
    }

    /// Publishes events in a topic. Returns the sequence of the last.
    ///
    /// A topic that is closed is opened by the first. Nothing is published if the idempotency key is known.
    #[inline]
    pub(crate) fn append<I>(
        &mut self,
        topic: &Arc<TopicShared>,
        publish: Publish<I>,
        now: u64,
    ) -> Result<(u64, TopicWakes), PublishError>
    where
        I: ExactSizeIterator<Item = (Option<Arc<str>>, Bytes)>,
    {
        let Publish { events, size, idempotency_key, then } = publish;
        if let Some(sequence) = idempotency_key.as_ref().and_then(|key| self.idempotency_keys.find(topic.name(), key)) {
            return Ok((sequence, TopicWakes::none()));
        }
        let before = self.last();
        // A closing without an event has a sequence of its own, so that a cursor is before or behind it.
        let closes_alone = then == AfterAppend::Close && events.len() == 0;
        let through = before + events.len() as u64 + u64::from(closes_alone);
        let entries =
            (before + 1..).zip(events).map(|(sequence, (key, event))| Entry { sequence, at: now, key, event });
        let wakes = self.append_entries(topic, Append { entries, size, hub_limit: self.max_bytes, through, then })?;
        if let Some(key) = idempotency_key {
            self.idempotency_keys.insert(topic.name(), key, through);
        }
        self.evict_excess(before);
        self.sweep(now);
        Ok((through, wakes))
    }

    #[inline]
    fn append_entries<I>(&mut self, topic: &Arc<TopicShared>, append: Append<I>) -> Result<TopicWakes, PublishError>
    where
        I: Iterator<Item = Entry>,
    {
        let Appended { oldest, wakes } = topic.append(append, &self.watermark)?;
        if let Some(oldest) = oldest {
            self.oldest.push(oldest, topic);
        }
        Ok(wakes)
    }

    /// Evicts the oldest events until the hub is within its bound of bytes, and then keyed values. Those above `after` are
    /// evicted only if that is not enough: otherwise a hub that is full of keyed values would keep nothing else.
    fn evict_excess(&mut self, after: u64) {
        for through in [after, u64::MAX] {
            self.evict_events(through);
            self.evict_keys(through);
        }
    }

    fn evict_events(&mut self, through: u64) {
        while self.is_too_large() {
            let Some((sequence, topic)) = self.oldest.pop(through) else { return };
            if let Some(oldest) = topic.evict_oldest(sequence) {
                self.oldest.push(oldest, &topic);
            }
        }
    }

    /// Evicts keyed values, topic by topic.
    fn evict_keys(&mut self, through: u64) {
        for _ in 0..if self.is_too_large() { self.topics.len() } else { 0 } {
            let Some(topic) = self.topics.next() else { return };
            while self.is_too_large() && topic.evict_key(through) {}
        }
    }

    /// Sweeps the next topics, a few at each publish and each subscribe.
    fn sweep(&mut self, now: u64) {
        self.topics.sweep(SWEEP_STEP.min(self.topics.len()), now);
    }

    fn is_too_large(&self) -> bool {
        self.counts.kept() > self.max_bytes
    }
}

/// Methods for a backplane.
impl Registry {
    /// Appends a batch of events, whose sequences are above those before. Adds the sequences of those that are too large to
    /// `skipped`.
    pub(crate) fn apply(
        &mut self,
        events: impl Iterator<Item = RemoteEvent>,
        skipped: &mut Vec<u64>,
        now: u64,
    ) -> Vec<TopicWakes> {
        let before = self.last();
        let wakes = events.filter_map(|event| self.apply_one(event, skipped, now)).collect();
        self.evict_excess(before);
        self.sweep(now);
        wakes
    }

    fn apply_one(&mut self, remote: RemoteEvent, skipped: &mut Vec<u64>, now: u64) -> Option<TopicWakes> {
        let RemoteEvent { sequence, topic: name, key, event, close, age } = remote;
        if sequence <= self.last() {
            return None;
        }
        let Ok(topic) = self.topics.open(&name, now) else {
            self.topics.count_evicted_keys(usize::from(event.is_some() && key.is_some()));
            self.topics.bury_lost(&name, sequence, close);
            self.watermark.advance_to(sequence);
            return None;
        };
        if let (None, Some(key)) = (&event, &key) {
            topic.remove_key(key);
        }
        let at = self.published_at(now, age);
        let entry = event.map(|event| Entry { sequence, at, key, event });
        let size = entry.as_ref().map_or(0, Entry::size);
        let then = if close { AfterAppend::Close } else { AfterAppend::Keep };
        let hub_limit = self.max_bytes;
        let append = |entry: Option<Entry>, size| Append {
            entries: entry.into_iter(),
            size,
            hub_limit,
            through: sequence,
            then,
        };
        let wakes = self.append_entries(&topic, append(entry, size)).or_else(|_| {
            // A program without this hub's bounds has published it.
            skipped.push(sequence);
            self.append_entries(&topic, append(None, 0))
        });
        if age > 0 {
            topic.evict_expired(now);
        }
        self.topics.release_later(&topic);
        wakes.ok()
    }

    /// Begins another epoch, in which everything up to a position is evicted in all topics.
    pub(crate) fn begin_epoch(&mut self, evicted_through: u64) -> Vec<TopicWakes> {
        self.watermark.advance_to(evicted_through);
        self.last_at = 0;
        self.topics.begin_epoch(evicted_through);
        self.oldest.clear();
        self.topics.iter().map(|topic| topic.begin_epoch(evicted_through)).collect()
    }

    /// Advances the watermark to a sequence, up to which the backplane has no more events.
    pub(crate) fn advance_to(&mut self, sequence: u64) {
        if sequence > self.last() {
            self.watermark.advance_to(sequence);
        }
    }

    /// Sets the newest event of a key, if there is one.
    pub(crate) fn apply_latest(&mut self, topic: &str, entry: Option<LatestEntry>, now: u64) {
        let Ok(topic) = self.topics.open(topic, now) else { return self.topics.count_evicted_keys(1) };
        topic.put_latest(entry, false, self.max_bytes, now);
        self.topics.release_later(&topic);
        self.evict_excess(u64::MAX);
    }

    /// Sets the newest events of all keys of a topic. If the topic is gone, its next subscriber has them loaded again.
    pub(crate) fn apply_keys(&mut self, topic: &str, entries: impl Iterator<Item = LatestEntry>, now: u64) {
        if let Some(topic) = self.topics.get(topic).cloned() {
            topic.put_latest(entries, true, self.max_bytes, now);
            self.topics.release_later(&topic);
        }
        self.evict_excess(u64::MAX);
    }

    /// Returns when an event of this age was published, which is never before the event ahead of it.
    fn published_at(&mut self, now: u64, age: u64) -> u64 {
        self.last_at = self.last_at.max(now.saturating_sub(age));
        self.last_at
    }
}

/// The number of topics that each publish and each subscribe sweeps.
const SWEEP_STEP: usize = 2;

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use super::oldest::MIN_LIMIT;
    use crate::{
        event::Event,
        hub::{
            handle::Hub,
            replica::contract::{Incoming, Sink},
            sync::lock,
        },
    };

    /// Each left an entry of its oldest event, and so its memory, in a hub that never was full.
    #[test]
    fn removed_topics_leave_no_entry_of_their_oldest_event() {
        let hub = Hub::new();
        let kept = hub.topic("kept").unwrap();
        kept.publish(Event::new("1")).try_result().unwrap();
        for number in 0..10 * MIN_LIMIT {
            let job = hub.topic(number.to_string()).unwrap();
            job.publish(Event::new("1")).try_result().unwrap();
            job.close(Event::new("last")).try_result().unwrap();
        }
        let (entries, of_topics) = lock(&hub.core().registry).oldest.lens();
        assert!(entries <= MIN_LIMIT + 1, "{entries}");
        assert_eq!(of_topics, 1);
    }

    /// The bytes of an evicted topic counted until it was dropped, after the lock, so that other events were evicted too.
    #[test]
    fn an_evicted_topic_makes_room_for_the_event_that_evicts_it() {
        let hub = Hub::builder().max_topics(2).max_bytes(7000).build();
        let publish = |name: &str| {
            let topic = hub.topic(name).unwrap();
            topic.publish(Event::new("x".repeat(3000))).try_result().unwrap();
        };
        publish("read");
        drop(hub.subscribe("read").unwrap());
        publish("never read");
        let new = Incoming::new(3, "new", Event::new("x".repeat(1500)));
        assert!(hub.core().feed(vec![new]).is_empty());
        assert!(hub.get_topic("never read").is_none());
        let used = hub.bytes_used();
        assert!((4501..7000).contains(&used), "{used}");
        drop(hub.get_topic("new").map(|topic| topic.close(None)));
        assert!(hub.bytes_used() < used && hub.bytes_used() > 3000, "{}", hub.bytes_used());
    }
}
