//! What a hub does for what feeds it from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    core::{Core, Then, ToTell},
    elsewhere::{self, Elsewhere},
    era::Era,
    log::Entry,
    sync::lock,
    topic_state::TopicShared,
    waiting::Queue,
};
use crate::backplane::{Backplane, Incoming, Link, LocalPresence};

/// The backplane of a hub, and what is known of it.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) backplane: Arc<dyn Backplane>,
    /// How often this node had everything there was.
    caught_up: AtomicU64,
    /// Whether it had, in this history.
    has_begun: AtomicBool,
    /// Who waits for it.
    pub(crate) queue: Queue,
    pub(crate) elsewhere: Arc<Elsewhere>,
    link: tokio::sync::watch::Sender<Link>,
    presence_changed: AtomicBool,
}

impl Fed {
    pub(crate) fn new(backplane: Arc<dyn Backplane>) -> Self {
        Self {
            backplane,
            caught_up: AtomicU64::new(0),
            has_begun: AtomicBool::new(false),
            queue: Queue::default(),
            elsewhere: Arc::default(),
            link: tokio::sync::watch::Sender::new(Link::Connecting),
            presence_changed: AtomicBool::new(true),
        }
    }

    pub(crate) fn link(&self) -> tokio::sync::watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn presence_changed(&self) {
        self.presence_changed.store(true, Ordering::Release);
    }

    /// How often this node had everything there was.
    pub(crate) fn times_caught_up(&self) -> u64 {
        self.caught_up.load(Ordering::Acquire)
    }

    /// Whether this node had everything there was, in this history. Before that, nobody is told what is missing.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }
}

impl Core {
    /// A history begins, of which everything up to here is gone.
    pub(crate) fn renew(&self, epoch: u64, gone_through: u64) {
        if let Some(fed) = &self.fed {
            fed.has_begun.store(false, Ordering::Release);
        }
        let mut ordered = lock(&self.ordered);
        // First the era, so that nobody takes what is in a topic for something of the old one, or waits for it.
        let number = self.era().number + 1;
        *lock(&self.era) = Arc::new(Era::new(number, epoch));
        self.epoch.store(epoch, Ordering::Relaxed);
        self.era_number.store(number, Ordering::Release);
        self.watermark.store(gone_through, Ordering::Release);
        ordered.renew(gone_through);
        let topics = ordered.all_and_closed();
        let to_tell: Vec<_> = topics.iter().map(|topic| topic.lock().renew(gone_through)).collect();
        drop(ordered);
        for (topic, to_tell) in topics.iter().zip(to_tell) {
            self.tell(topic, to_tell);
        }
    }

    /// Somebody came or left.
    pub(crate) fn presence_changed(&self) {
        if let Some(fed) = &self.fed {
            fed.presence_changed();
        }
    }

    pub(crate) fn feed(&self, events: Vec<Incoming>) {
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let to_tell = self.feed_some(&mut events);
            for (topic, to_tell) in to_tell {
                self.tell(&topic, to_tell);
            }
        }
    }

    /// Takes a share of the events under one lock.
    fn feed_some(&self, events: &mut impl Iterator<Item = Incoming>) -> Vec<(Arc<TopicShared>, ToTell)> {
        let now = self.now();
        let mut to_tell = Vec::new();
        let mut ordered = lock(&self.ordered);
        let before = ordered.last;
        for incoming in events.take(FED_AT_ONCE) {
            let Incoming { sequence, topic: name, key, event, closes } = incoming;
            if sequence <= ordered.last {
                continue;
            }
            let Ok(topic) = ordered.find(&name, now) else {
                // There is no room for it. Whoever comes for it later has missed this.
                ordered.last = sequence;
                ordered.is_gone(&name, sequence);
                self.watermark.store(sequence, Ordering::Release);
                continue;
            };
            if let (None, Some(key)) = (&event, &key) {
                topic.lock().latest.remove(key);
            }
            let event = event.map(|event| Entry { sequence, at: now, key, event: event.into_rest() });
            // One without an event has its place in the order too.
            ordered.last = sequence;
            let then = if closes { Then::Close } else { Then::GoOn };
            // It was taken where it was published: here it is not refused for its size.
            let told = self.append_entries(&mut ordered, &topic, 0, event.into_iter(), then);
            if closes {
                let _ = ordered.close(&topic);
            }
            to_tell.extend(told.ok().map(|told| (topic, told)));
        }
        ordered.shrink(before);
        ordered.sweep(now);
        to_tell
    }

    pub(crate) fn feed_latest(&self, incoming: Incoming) {
        let Incoming { sequence, topic, key, event, .. } = incoming;
        let (Some(key), Some(event)) = (key, event) else { return };
        let now = self.now();
        let mut ordered = lock(&self.ordered);
        let Ok(topic) = ordered.find(&topic, now) else { return };
        let mut state = topic.lock();
        state.latest.put(key, sequence, event.into_rest());
        state.trim(now);
        drop(state);
        ordered.shrink(u64::MAX);
    }

    /// Everything up to here is there.
    pub(crate) fn caught_up(&self, through: u64) {
        let Some(fed) = &self.fed else { return };
        {
            let mut ordered = lock(&self.ordered);
            if through > ordered.last {
                ordered.last = through;
                self.watermark.store(through, Ordering::Release);
            }
        }
        fed.caught_up.fetch_add(1, Ordering::AcqRel);
        fed.has_begun.store(true, Ordering::Release);
        fed.queue.wake();
    }

    /// Whether it was another.
    pub(crate) fn set_link(&self, link: Link) -> bool {
        let Some(fed) = &self.fed else { return false };
        fed.link.send_if_modified(|old| std::mem::replace(old, link) != link)
    }

    pub(crate) fn local_presence(&self) -> Option<Vec<LocalPresence>> {
        let fed = self.fed.as_ref()?;
        fed.presence_changed.swap(false, Ordering::AcqRel).then(|| {
            let topics = self.all_topics();
            topics.iter().filter_map(|topic| topic.lock().members.here(topic.name())).collect()
        })
    }

    pub(crate) fn node_presence(&self, node: &str, presence: Vec<LocalPresence>) {
        let Some(fed) = &self.fed else { return };
        let mut by_topic: elsewhere::Node =
            presence.into_iter().map(|presence| (Arc::clone(&presence.topic), presence)).collect();
        // First for the topics that are made from here on.
        fed.elsewhere.put(node, &by_topic);
        for topic in self.all_topics() {
            let there = by_topic.remove(topic.name());
            let changed = topic.lock().members.set_node(node, there);
            if changed {
                topic.arrivals.notify_waiters();
            }
        }
    }
}

/// How many events are taken under one lock.
const FED_AT_ONCE: usize = 128;
