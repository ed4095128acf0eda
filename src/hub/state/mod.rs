//! The state of a topic behind one lock: what it retains, who reads it, and who waits for it.
//!
//! The lock is private to this folder: each method of [`TopicShared`] takes it and releases it. A method that owes
//! wake-ups returns them as [`TopicWakes`], to be delivered once the caller holds no lock. Time is milliseconds by the hub's
//! clock.

pub(crate) mod append;
pub(crate) mod closings;
pub(crate) mod counts;
pub(crate) mod found;
pub(crate) mod frames;
mod guard;
pub(crate) mod hold;
pub(crate) mod latest;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod rank;
pub(crate) mod read;
pub(crate) mod readers;
mod retained;
pub(crate) mod rounds;
pub(crate) mod tombstone;
pub(crate) mod waiters;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use slab::Slab;
use tokio::sync::Notify;

use self::{
    append::{AfterAppend, Append},
    counts::HubCounts,
    found::{Budget, FoundEvent},
    guard::{TopicGuard, TopicState},
    latest::LatestEntry,
    log::Entry,
    members::{Members, PresenceDiff, TopicPresence},
    rank::{EvictionRank, EvictionState, EvictionTicket},
    read::{Query, ReadContext, SharedRead, TopicRead, WaitOutcome},
    readers::{PublisherWait, Readers},
    retained::Retained,
    rounds::{Gathered, News, RoundStart},
    tombstone::Tombstone,
    waiters::{QueueClosed, Registration, Ticket, Waiters},
};

use super::{
    error::PublishError,
    position::Watermark,
    retention::Retention,
    settings::{Linger, TopicSettings},
    sync::{Guard, Mutex, lock, try_lock},
    wake::{
        owed::OwedWakes,
        queue::WakeQueue,
        wakes::{PublisherWakes, WaitSet, Wakes},
    },
};

/// The table that a topic is in.
pub(crate) trait Table: fmt::Debug + Send + Sync {
    /// Removes a topic that is not held any more, unless it is to be kept.
    fn release(&self, topic: &Arc<TopicShared>);
}

/// A topic, shared by its hub and its subscribers.
#[derive(Debug)]
pub(crate) struct TopicShared {
    name: Arc<str>,
    /// The counts that all topics of the hub share.
    counts: Arc<HubCounts>,
    table: Weak<dyn Table>,
    /// The number of [holds](hold::Hold).
    holds: AtomicUsize,
    /// The time at which a subscriber held it last, or 0 if there was none.
    read_at: AtomicU64,
    /// Notified when the presence changes, or the topic is closed.
    arrivals: Arc<Notify>,
    state: Mutex<TopicState<Arc<Self>>>,
}

/// The outcome of an append.
pub(crate) struct Appended {
    /// The sequence of the topic's oldest event, if the registry does not know it yet.
    pub(crate) oldest: Option<u64>,
    pub(crate) wakes: TopicWakes,
}

pub(crate) type TopicQueue = WakeQueue<Arc<TopicShared>>;

pub(crate) type TopicWakes = Wakes<TopicShared>;

impl TopicShared {
    /// Creates a topic without events, from the tombstone of the last topic of its name.
    pub(crate) fn new(
        table: &Weak<dyn Table>,
        counts: &Arc<HubCounts>,
        name: Arc<str>,
        tombstone: &Tombstone,
        settings: TopicSettings,
        members: Members,
    ) -> Arc<Self> {
        let TopicSettings { bounds, linger } = tombstone.settings.unwrap_or(settings);
        let state = TopicState {
            retained: Retained::new(tombstone, bounds, members.has_nodes()),
            linger,
            waiters: Waiters::new(),
            readers: Readers::default(),
            members,
            is_tracked: false,
            is_removed: false,
            eviction_ticket: None,
        };
        Arc::new(Self {
            name,
            counts: Arc::clone(counts),
            table: Weak::clone(table),
            holds: AtomicUsize::new(0),
            read_at: AtomicU64::new(0),
            arrivals: Arc::default(),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Locks the state for a change that leaves the retained bytes as they are.
    fn lock(&self) -> Guard<'_, TopicState<Arc<Self>>> {
        lock(&self.state)
    }

    /// Locks the state for a change of what is retained.
    fn lock_retained(&self) -> TopicGuard<'_, Arc<Self>> {
        TopicGuard::new(lock(&self.state), &self.counts)
    }

    /// Locks the state, and evicts the events that are older than the bound of age.
    #[inline]
    fn lock_unexpired(&self, now: u64) -> Guard<'_, TopicState<Arc<Self>>> {
        let state = self.lock();
        if !state.retained.has_expired(now) {
            return state;
        }
        TopicGuard::new(state, &self.counts).retained.evict_expired(now);
        self.lock()
    }

    /// Returns whether a subscriber, a [`Topic`](crate::hub::Topic) or a [`Presence`](crate::hub::Presence) holds it. Under the
    /// registry's lock, a topic that is not held stays so.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    /// Records that a subscriber holds it now.
    pub(crate) fn read_at(&self, now: u64) {
        self.read_at.store(now, Ordering::Relaxed);
    }
}

/// Methods for publishers.
impl TopicShared {
    /// Returns an error if an event of this size is larger than the topic, or its hub, retains.
    pub(crate) fn check_size(&self, size: usize, hub_limit: usize) -> Result<(), PublishError> {
        self.lock().retained.check_size(size, hub_limit)
    }

    /// Appends events, and advances the watermark.
    #[inline]
    pub(crate) fn append<I>(
        self: &Arc<Self>,
        append: Append<I>,
        watermark: &Watermark,
    ) -> Result<Appended, PublishError>
    where
        I: Iterator<Item = Entry>,
    {
        let Append { entries, size, hub_limit, through, then } = append;
        let mut state = self.lock_retained();
        state.retained.check_size(size, hub_limit)?;
        let mut gathered = Gathered::default();
        let lingers = state.linger != Linger::default();
        if lingers {
            entries.for_each(|entry| {
                gathered.add(&entry);
                state.retained.append(entry);
            });
        } else {
            entries.for_each(|entry| state.retained.append(entry));
        }
        let closes = then == AfterAppend::Close;
        if closes {
            state.retained.closings.close(through);
        }
        // Invariant: a reader that finds an event under the topic's lock finds it below the watermark.
        watermark.advance_to(through);
        let oldest = state.track_oldest();
        let publishers = if closes { state.readers.release_publishers() } else { Vec::new() };
        let queues = if closes || lingers {
            let news = if closes { News::DUE } else { News::of(gathered, &state.retained.bounds) };
            state.waiters.queues_to_wake_with(&news)
        } else {
            state.waiters.queues_to_wake()
        };
        drop(state);
        let mut wakes = Wakes::of(publishers, self, queues);
        if closes {
            wakes.and_arrivals(&self.arrivals);
        }
        Ok(Appended { oldest, wakes })
    }

    /// Removes a keyed value.
    pub(crate) fn remove_key(&self, key: &str) {
        self.lock_retained().retained.latest.remove(key);
    }

    /// Returns a wait for all readers to come to within so many events of the newest.
    pub(crate) fn wait_for_readers(&self, events: usize) -> PublisherWait {
        let state = self.lock();
        let (through, epoch_number) = (state.retained.log.before_newest(events), state.readers.epoch_number());
        through.map_or(PublisherWait::Done, |through| PublisherWait::Through { through, epoch_number })
    }

    /// Polls a wait for readers. It is over when the topic is closed, or another epoch begins, too.
    ///
    /// A publisher that begins to wait makes the rounds due over which the topic lingers.
    pub(crate) fn poll_readers(self: &Arc<Self>, wait: &mut PublisherWait, waker: Waker) -> (Poll<()>, TopicWakes) {
        let mut state = self.lock();
        let is_closed = state.retained.closings.is_closed();
        let unused = state.readers.poll_wait(wait, is_closed, waker);
        let queues = if unused.is_ok() { state.waiters.release() } else { None };
        drop(state);
        let polled = if unused.is_ok() { Poll::Pending } else { Poll::Ready(()) };
        (polled, Wakes::of(Vec::new(), self, queues))
    }

    /// Cancels a wait for readers.
    pub(crate) fn cancel_wait(&self, wait: &PublisherWait) {
        if let PublisherWait::Registered(publisher) = *wait {
            // Dropped after the lock.
            let _waker = self.lock().readers.cancel_wait(publisher);
        }
    }
}

/// Methods for the registry, under its lock.
impl TopicShared {
    /// Begins another epoch, in which everything up to a position is evicted.
    pub(crate) fn begin_epoch(self: &Arc<Self>, evicted_through: u64) -> TopicWakes {
        let mut state = self.lock_retained();
        state.retained.begin_epoch(evicted_through);
        state.is_tracked = false;
        let (queues, publishers) = (state.waiters.queues_to_wake_with(&News::DUE), state.readers.begin_epoch());
        drop(state);
        Wakes::of(publishers, self, queues)
    }

    /// Sets the bounds, and evicts what exceeds them.
    pub(crate) fn set_bounds(&self, bounds: Retention, now: u64) {
        let mut state = self.lock_retained();
        state.retained.bounds = bounds;
        state.retained.evict_excess(now);
    }

    /// Sets the time for which the topic may gather events.
    pub(crate) fn set_linger(self: &Arc<Self>, linger: Linger) -> TopicWakes {
        let mut state = self.lock();
        state.linger = linger;
        let queues = state.waiters.release();
        drop(state);
        Wakes::of(Vec::new(), self, queues)
    }

    /// Evicts the events that are older than the bound of age.
    pub(crate) fn evict_expired(&self, now: u64) {
        self.lock_retained().retained.evict_expired(now);
    }

    /// Evicts the events that are older than the bound of age, unless the topic is locked: a topic in use expires its own.
    /// Returns whether it was not locked.
    pub(crate) fn try_evict_expired(&self, now: u64) -> bool {
        let Some(state) = try_lock(&self.state) else { return false };
        if state.retained.has_expired(now) {
            TopicGuard::new(state, &self.counts).retained.evict_expired(now);
        }
        true
    }

    /// Evicts the oldest event if its sequence is at most this. Returns the sequence of the oldest event that is left.
    pub(crate) fn evict_oldest(&self, through: u64) -> Option<u64> {
        let mut state = self.lock_retained();
        if state.retained.log.oldest().is_some_and(|oldest| oldest.sequence <= through) {
            state.retained.evict();
        }
        state.is_tracked = false;
        state.track_oldest()
    }

    /// Evicts the key that was published least recently, if that was no later than this.
    pub(crate) fn evict_key(&self, through: u64) -> bool {
        self.lock_retained().retained.latest.evict(through)
    }

    /// Sets the newest events of keys, unless newer ones are known or they are too large. `is_complete` says that these are
    /// all keys of the topic.
    pub(crate) fn put_latest(
        &self,
        entries: impl IntoIterator<Item = LatestEntry>,
        is_complete: bool,
        hub_limit: usize,
        now: u64,
    ) {
        let mut state = self.lock_retained();
        entries.into_iter().for_each(|entry| state.retained.put_latest(entry, hub_limit));
        if is_complete {
            state.retained.latest.set_partial(false);
        }
        state.retained.evict_excess(now);
    }

    /// Returns whether keyed values may have to be loaded from a backplane.
    pub(crate) fn lacks_keys(&self) -> bool {
        self.lock().retained.latest.is_partial()
    }

    /// Returns the state by which the topic is queued for eviction.
    pub(crate) fn eviction_state(&self) -> EvictionState {
        let read_at = self.read_at.load(Ordering::Relaxed);
        let state = self.lock();
        let (retained, keys) = (&state.retained, state.retained.latest.len());
        let is_idle = retained.is_empty() && state.readers.len() == 0;
        EvictionState {
            rank: EvictionRank { is_keyed: keys > 0, read_at, newest: retained.newest_through(u64::MAX) },
            ticket: state.eviction_ticket,
            keys,
            is_disposable: is_idle || retained.closings.is_closed(),
        }
    }

    /// Sets the place among the topics that are not held. Returns the one before.
    pub(crate) fn set_ticket(&self, ticket: Option<EvictionTicket>) -> Option<EvictionTicket> {
        std::mem::replace(&mut self.lock().eviction_ticket, ticket)
    }

    /// Removes what is retained from the counts of the hub, as the topic is removed: the room is free before it is dropped.
    pub(crate) fn remove_from_counts(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_removed, true) {
            self.counts.kept.fetch_sub(state.retained.bytes(), Ordering::Relaxed);
        }
    }

    /// Returns the tombstone of the topic, which counts keyed values up to a position, and the settings if they are not
    /// the default ones.
    pub(crate) fn tombstone(&self, through: u64, default: TopicSettings) -> Tombstone {
        let state = self.lock();
        let retained = &state.retained;
        let settings = TopicSettings { bounds: retained.bounds, linger: state.linger };
        Tombstone {
            through: retained.newest_through(through),
            closed_since: retained.closings.closed_since(),
            settings: Some(settings).filter(|settings| *settings != default),
        }
    }
}

/// Methods for readers. Each `is_current` is asked under the topic's lock: a cursor of an epoch that is over says nothing of the
/// topic.
impl TopicShared {
    /// Adds a reader, and its member. Returns its number.
    pub(crate) fn join(
        &self,
        cursor: u64,
        is_current: impl FnOnce() -> bool,
        member: Option<&Arc<str>>,
    ) -> (usize, TopicWakes) {
        let mut state = self.lock();
        let reader = state.readers.join(if is_current() { cursor } else { 0 });
        state.members.join(member);
        drop(state);
        (reader, Wakes::of_arrival(Vec::new(), &self.arrivals))
    }

    /// Removes a reader, its waker and its member. Its number may become another's.
    pub(crate) fn leave(&self, reader: usize, ticket: Ticket, member: Option<&Arc<str>>) -> TopicWakes {
        let mut state = self.lock();
        let waker = state.waiters.clear(ticket);
        let publishers = state.readers.leave(reader);
        if publishers.is_some() {
            state.members.leave(member);
        }
        drop(state);
        drop(waker);
        Wakes::of_arrival(publishers.unwrap_or_default(), &self.arrivals)
    }

    /// Removes a reader from the presence, and from what publishers wait for, though its number stays its own. Does nothing
    /// if it was detached before, or has left, which is asked under the lock.
    pub(crate) fn detach(
        &self,
        reader: usize,
        has_left: impl FnOnce() -> bool,
        member: Option<&Arc<str>>,
    ) -> Option<TopicWakes> {
        let mut state = self.lock();
        if has_left() {
            return None;
        }
        let publishers = state.readers.detach(reader)?;
        state.members.leave(member);
        drop(state);
        Some(Wakes::of_arrival(publishers, &self.arrivals))
    }

    /// Returns the sequence of the newest event that the query would have selected, had it not been evicted or hidden.
    pub(crate) fn missed_through(&self, query: Query) -> u64 {
        self.lock().retained.missed_through(query)
    }

    /// Returns whether the query selects an event. To a reader that is not new, an event that it has missed counts too.
    pub(crate) fn has_any(&self, query: Query, is_new: bool) -> bool {
        self.lock().retained.has_any(query, is_new)
    }

    /// Advances a reader, and returns a slice of a shared frame after its cursor. Up to `acked_gap`, evicted events are no loss
    /// to it.
    #[inline]
    pub(crate) fn read_shared(
        &self,
        reader: usize,
        cursor: u64,
        acked_gap: u64,
        now: u64,
        is_current: impl FnOnce() -> bool,
    ) -> (SharedRead, PublisherWakes) {
        let mut state = self.lock_unexpired(now);
        let publishers = state.advance(reader, cursor, is_current());
        let read = state.retained.read_shared(cursor, acked_gap);
        drop(state);
        (read, PublisherWakes::new(publishers))
    }

    /// Advances a reader, and appends the events that its query selects to `into`.
    pub(crate) fn read(
        &self,
        reader: usize,
        query: Query,
        budget: Budget,
        context: ReadContext<'_, impl FnOnce() -> bool>,
        into: &mut Vec<FoundEvent>,
    ) -> (TopicRead, PublisherWakes) {
        let mut state = self.lock_unexpired(context.now);
        let publishers = state.advance(reader, query.after, (context.is_current)());
        let retained = &state.retained;
        let missed_through = retained.missed_through(query);
        let truncated_at = retained.read(query, budget, context.prefix, into);
        let closings = (retained.closings.last() > 0).then(|| retained.closings.beyond(query.after));
        drop(state);
        (TopicRead { truncated_at, missed_through, closings }, PublisherWakes::new(publishers))
    }

    /// Advances a reader, and registers its waker under the lock under which there is no news for it.
    #[inline]
    pub(crate) fn wait(
        &self,
        reader: usize,
        cursor: u64,
        watermark: &Watermark,
        is_current: impl FnOnce() -> bool,
        registration: Registration<'_, Arc<Self>>,
    ) -> (Result<WaitOutcome, QueueClosed>, PublisherWakes) {
        let Registration { queue, ticket, waker } = registration;
        let mut state = self.lock();
        let is_current = is_current();
        let publishers = state.advance(reader, cursor, is_current);
        // Under the topic's lock, each of its events is below the watermark, unless it cannot be read yet: a reader that did
        // not wait for that one would look again and again.
        let has_news = state.retained.has_news(cursor) && watermark.get() > cursor;
        let outcome = if has_news || !is_current { WaitOutcome::Ready } else { WaitOutcome::Registered };
        let replaced = match outcome {
            WaitOutcome::Registered => state.waiters.register(queue, ticket, waker),
            WaitOutcome::Ready => Ok(Some(waker)),
        };
        drop(state);
        (replaced.map(|_| outcome), PublisherWakes::new(publishers))
    }
}

/// Methods for the pump.
impl TopicShared {
    /// Begins a round as the topic's turn in a queue comes, unless the topic has to be held. `now` is called only if it
    /// lingers.
    #[inline]
    pub(crate) fn begin_round(&self, queue: &TopicQueue, now: impl FnOnce() -> u64) -> RoundStart {
        let mut state = self.lock();
        let linger = state.effective_linger();
        state.waiters.begin_round(queue, linger, now)
    }

    /// Begins a round as the time is over until which the topic was held. Returns `false` if the round was due earlier.
    pub(crate) fn resume_round(&self, queue: &TopicQueue, until: u64, now: u64) -> bool {
        self.lock().waiters.resume_round(queue, until, now)
    }

    /// Encodes the events since the last round into frames, if several subscribers wait in this queue. Stops if the epoch is
    /// not current any more: the ids would not be those of the events, and another round is under way.
    pub(crate) fn build_frames(&self, queue: &TopicQueue, prefix: &[u8], is_current: impl Fn() -> bool) {
        let is_shared = self.lock().waiters.len(queue) > 1;
        for _ in 0..if is_shared { FRAMES_A_ROUND } else { 0 } {
            let (after, events) = self.lock().retained.unencoded(prefix);
            let frame = frames::encode(prefix, &events);
            if frame.is_none() {
                return;
            }
            let mut state = self.lock();
            if !is_current() {
                return;
            }
            state.retained.frames.push(after, frame);
        }
        // Each subscriber encodes the rest for itself.
        let mut state = self.lock();
        let last = state.retained.log.last();
        state.retained.frames.skip(last);
    }

    /// Takes the wakers of a round. About as many subscribers will wait again, for which room is made outside of the lock.
    pub(crate) fn take_round(&self, queue: &TopicQueue) -> OwedWakes {
        // A guard within the call would be held while the room is allocated.
        let waiting = self.lock().waiters.len(queue);
        self.take_waiters(queue, Slab::with_capacity(waiting))
    }

    /// Removes a queue whose pump is gone. Returns its wakers.
    pub(crate) fn remove_queue(&self, queue: &TopicQueue) -> OwedWakes {
        OwedWakes::new(self.lock().waiters.remove(queue).unwrap_or_default())
    }
}

/// Methods for presence.
impl TopicShared {
    /// Notifies of a change of presence, and of the closing of the topic.
    pub(crate) fn arrivals(&self) -> &Notify {
        &self.arrivals
    }

    pub(crate) fn member_count(&self) -> usize {
        self.lock().members.count()
    }

    pub(crate) fn members(&self) -> Vec<Arc<str>> {
        self.lock().members.values().cloned().collect()
    }

    /// Adds a watcher. Returns its number, and how often the topic was closed.
    pub(crate) fn watch(&self) -> (usize, u64) {
        let mut state = self.lock();
        (state.members.watch(), state.retained.closings.times())
    }

    /// Takes what changed for a watcher. Returns it with the count of subscribers, and how often the topic was closed.
    pub(crate) fn take_changes(&self, watcher: usize) -> (Option<(PresenceDiff, usize)>, u64) {
        let mut state = self.lock();
        (state.members.take(watcher), state.retained.closings.times())
    }

    pub(crate) fn unwatch(&self, watcher: usize) {
        // Dropped after the lock.
        let _changes = self.lock().members.unwatch(watcher);
    }

    /// Returns the presence on this node, if it has a subscriber.
    pub(crate) fn local_presence(&self) -> Option<TopicPresence> {
        self.lock().members.local(&self.name)
    }

    /// Sets the presence on another node.
    pub(crate) fn set_node(&self, node: &str, presence: Option<TopicPresence>) -> TopicWakes {
        let has_changed = self.lock().members.set_node(node, presence);
        if has_changed { Wakes::of_arrival(Vec::new(), &self.arrivals) } else { Wakes::none() }
    }
}

impl WaitSet for TopicShared {
    fn take_waiters(&self, queue: &TopicQueue, room: Slab<Waker>) -> OwedWakes {
        OwedWakes::new(self.lock().waiters.take(queue, room))
    }
}

impl Drop for TopicShared {
    fn drop(&mut self) {
        self.remove_from_counts();
    }
}

/// The number of frames that a round of the pump encodes; each subscriber encodes the rest for itself.
const FRAMES_A_ROUND: usize = 4;
