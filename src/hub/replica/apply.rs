//! What a hub does for what feeds it from outside.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::contract::{Feed, Incoming, Sink};
use crate::{
    hub::{
        core::{AfterAppend, Core},
        position::Epoch,
        registry::remote_presence::NodePresence,
        state::{
            ToWake, TopicShared, TopicState,
            log::{Entry, size_of_event},
            members::TopicPresence,
        },
        sync::lock,
    },
    observe::link::Link,
    panic,
    time::jitter,
};

/// Has the backplane of a hub feed it for as long as there is a hub, and again when that ends before.
pub(crate) async fn follow(weak: Weak<Core>) {
    // Also when the runtime ends.
    let _down = DownWhenDropped(Weak::clone(&weak));
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        let following = async {
            let following = {
                let core = weak.upgrade()?;
                let fed = core.replica.as_ref()?;
                let hub: Weak<dyn Sink> = weak.clone();
                fed.backplane.follow(Feed::new(hub, &fed.requests))
            };
            following.await;
            Some(())
        };
        // The panic itself is told by the hook for panics.
        let _ended = panic::catch_future(following).await;
        let Some(core) = weak.upgrade() else { return };
        core.lose_link();
        if core.replica.as_ref().is_none_or(|fed| fed.requests.is_over()) {
            return;
        }
        drop(core);
        // One that held for a while was a good one.
        pause = if since.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        sleep(jitter::longer(pause)).await;
    }
}

struct DownWhenDropped(Weak<Core>);

impl Drop for DownWhenDropped {
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            core.lose_link();
            core.replica.iter().for_each(|fed| fed.requests.set_ended());
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

    /// A history begins, of which everything up to here is gone.
    fn renew(&self, epoch: u64, gone_through: u64) {
        let mut ordered = lock(&self.registry);
        if let Some(fed) = &self.replica {
            fed.is_synced.store(false, Ordering::Release);
            fed.last_at.store(0, Ordering::Relaxed);
        }
        // First the era, so that nobody takes what is in a topic for something of the old one, or waits for it.
        let number = self.epoch().number + 1;
        *lock(&self.epoch) = Arc::new(Epoch::new(number, epoch));
        self.epoch_id.store(epoch, Ordering::Relaxed);
        self.epoch_number.store(number, Ordering::Release);
        self.watermark.store(gone_through, Ordering::Release);
        ordered.begin_epoch(gone_through);
        let topics = ordered.all();
        let to_tell: Vec<_> = topics.iter().map(|topic| topic.lock().begin_epoch(gone_through)).collect();
        drop(ordered);
        for (topic, to_tell) in topics.iter().zip(to_tell) {
            self.wake(topic, to_tell);
        }
    }

    /// Gives the sequences of those that were skipped since they are too large.
    fn feed(&self, events: Vec<Incoming>) -> Vec<u64> {
        let mut events = events.into_iter().peekable();
        let mut skipped = Vec::new();
        while events.peek().is_some() {
            let to_tell = self.apply_batch(&mut events, &mut skipped);
            for (topic, to_tell) in to_tell {
                self.wake(&topic, to_tell);
            }
        }
        skipped
    }

    fn feed_latest(&self, incoming: Incoming) {
        let now = self.now();
        let mut ordered = lock(&self.registry);
        let Ok(topic) = ordered.open(&incoming.topic, now) else { return ordered.loses_keys(1) };
        let mut state = topic.lock();
        self.put_latest(&mut state, incoming);
        state.trim(now);
        drop(state);
        let _ = ordered.release(&topic);
        ordered.shrink(u64::MAX);
        let _gone = ordered.take_gone();
        drop(ordered);
    }

    /// The keys of a topic are known: these.
    fn feed_keys(&self, topic: &str, newest: Vec<Incoming>) {
        let now = self.now();
        let mut ordered = lock(&self.registry);
        // One that is gone is of no use any more: whoever comes for it asks again.
        if let Some(topic) = ordered.get(topic) {
            let mut state = topic.lock();
            newest.into_iter().for_each(|incoming| self.put_latest(&mut state, incoming));
            state.latest.set_partial(false);
            state.trim(now);
            drop(state);
            let _ = ordered.release(&topic);
        }
        ordered.shrink(u64::MAX);
        drop(ordered);
        if let Some(fed) = &self.replica {
            fed.waiting.wake();
        }
    }

    fn find_keys_when_asked(&self) {
        if let Some(fed) = &self.replica {
            fed.finds_keys.store(true, Ordering::Release);
            lock(&self.registry).finds_keys = true;
        }
    }

    /// Leaves out the topics that nothing holds any more, or whose keys are known by now.
    fn still_wanted(&self, mut topics: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let ordered = lock(&self.registry);
        topics.retain(|name| ordered.wants_keys(name));
        drop(ordered);
        topics
    }

    /// The topics that are held by something beside the hub.
    fn in_use(&self) -> Vec<Arc<str>> {
        let topics = self.all_topics();
        topics.iter().filter(|topic| topic.is_held()).map(|topic| Arc::clone(topic.name())).collect()
    }

    /// Everything up to here is there.
    fn caught_up(&self, through: u64) {
        let Some(fed) = &self.replica else { return };
        {
            let mut ordered = lock(&self.registry);
            if through > ordered.last {
                ordered.last = through;
                self.watermark.store(through, Ordering::Release);
            }
            fed.is_synced.store(true, Ordering::Release);
        }
        fed.sync_count.fetch_add(1, Ordering::AcqRel);
        fed.waiting.wake();
    }

    /// Whether it was another.
    fn set_link(&self, link: Link) -> bool {
        let Some(fed) = &self.replica else { return false };
        fed.link.send_if_modified(|old| std::mem::replace(old, link) != link)
    }

    /// Returns whether what feeds the hub could be reached once.
    fn was_up(&self) -> bool {
        self.replica.as_ref().is_some_and(|fed| *fed.link.borrow() != Link::Connecting)
    }

    fn local_presence(&self) -> Option<Vec<TopicPresence>> {
        let fed = self.replica.as_ref()?;
        fed.presence_changed.swap(false, Ordering::AcqRel).then(|| {
            let topics = self.all_topics();
            topics.iter().filter_map(|topic| topic.lock().members.local(topic.name())).collect()
        })
    }

    fn node_presence(&self, node: &str, presence: Vec<TopicPresence>) {
        let Some(fed) = &self.replica else { return };
        let possible = |presence: TopicPresence| TopicPresence { count: presence.count.min(MOST_HERE), ..presence };
        let mut by_topic: NodePresence =
            presence.into_iter().map(|presence| (Arc::clone(&presence.topic), possible(presence))).collect();
        // First for the topics that are made from here on.
        fed.remote_presence.put(node, &by_topic);
        for topic in self.all_topics() {
            let there = by_topic.remove(topic.name());
            let changed = topic.lock().members.set_node(node, there);
            if changed {
                topic.arrivals.notify_waiters();
            }
        }
    }
}

impl Core {
    /// Somebody came or left.
    pub(crate) fn presence_changed(&self) {
        if let Some(fed) = &self.replica {
            fed.presence_changed();
        }
    }

    /// Takes a share of the events under one lock.
    fn apply_batch(
        &self,
        events: &mut impl Iterator<Item = Incoming>,
        skipped: &mut Vec<u64>,
    ) -> Vec<(Arc<TopicShared>, ToWake)> {
        let now = self.now();
        let mut to_tell = Vec::new();
        let mut ordered = lock(&self.registry);
        let before = ordered.last;
        for incoming in events.take(FED_AT_ONCE) {
            let Incoming { sequence, topic: name, key, event, close: closes, age } = incoming;
            if sequence <= ordered.last {
                continue;
            }
            let Ok(topic) = ordered.open(&name, now) else {
                // There is no room for it. Whoever comes for it later has missed this.
                ordered.loses_keys(usize::from(event.is_some() && key.is_some()));
                ordered.last = sequence;
                ordered.note_lost(&name, sequence, closes);
                self.watermark.store(sequence, Ordering::Release);
                continue;
            };
            if let (None, Some(key)) = (&event, &key) {
                topic.lock().latest.remove(key);
            }
            let at = self.published_at(now, age);
            let event = event.map(|event| Entry { sequence, at, key, event: event.into_rest() });
            // One without an event has its place in the order too.
            ordered.last = sequence;
            let then = if closes { AfterAppend::Close } else { AfterAppend::Keep };
            let size = event.as_ref().map_or(0, Entry::size);
            let told = self.append_entries(&mut ordered, &topic, size, event.into_iter(), then).or_else(|_| {
                // Where another program has published it, nothing has looked at its size before.
                skipped.push(sequence);
                self.append_entries(&mut ordered, &topic, 0, std::iter::empty(), then)
            });
            if !age.is_zero() {
                topic.lock().expire(now);
            }
            if !topic.is_held() {
                let _ = ordered.release(&topic);
            }
            to_tell.extend(told.ok().map(|told| (topic, told)));
        }
        ordered.shrink(before);
        ordered.sweep(now);
        let _gone = ordered.take_gone();
        drop(ordered);
        to_tell
    }

    /// When an event came that is so old.
    fn published_at(&self, now: u64, age: Duration) -> u64 {
        let at = now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self.replica.as_ref().map_or(at, |fed| fed.last_at.fetch_max(at, Ordering::Relaxed).max(at))
    }

    fn put_latest(&self, state: &mut TopicState, incoming: Incoming) {
        let Incoming { sequence, key: Some(key), event: Some(event), .. } = incoming else { return };
        let fits = self.fits(state, size_of_event(event.rest(), Some(&key))).is_ok();
        if fits && !state.latest.has(&key, sequence) {
            state.latest.put(key, sequence, event.into_rest());
        }
    }

    /// Returns whether the keys of these topics are known here. If not, they are asked for.
    pub(crate) fn knows_keys<'a>(&self, topics: impl Iterator<Item = &'a Arc<str>>) -> bool {
        let Some(fed) = self.replica.as_ref().filter(|fed| fed.finds_keys.load(Ordering::Acquire)) else { return true };
        let ordered = lock(&self.registry);
        let unknown: Vec<_> = topics.filter(|name| ordered.wants_keys(name)).cloned().collect();
        let knows_all = unknown.is_empty();
        if !knows_all {
            fed.requests.put(unknown, 2 * self.settings.topics, |name| ordered.wants_keys(name));
        }
        drop(ordered);
        knows_all
    }

    /// Notes that the backplane has stopped feeding the hub.
    fn lose_link(&self) {
        if self.was_up() {
            self.set_link(Link::Down);
        }
    }
}

/// How many events are taken under one lock.
const FED_AT_ONCE: usize = 128;

/// More streams than a node has. A sum of such numbers is still a number.
const MOST_HERE: usize = u32::MAX as usize >> 8;

const FIRST_PAUSE: Duration = Duration::from_millis(50);

const LONGEST_PAUSE: Duration = Duration::from_secs(2);
