//! The state of a topic: what it retains, and the publishers that wait, behind one lock; its subscribers, with their cursors and
//! wakers, in a [lane] for each runtime.
//!
//! The locks are private to this folder: each method of [`TopicShared`] takes and releases them. A method that owes
//! wake-ups returns them as [`TopicWakes`], to be delivered once the caller holds no lock. Time is milliseconds by the hub's
//! clock.

pub(crate) mod append;
pub(crate) mod closings;
pub(crate) mod counts;
pub(crate) mod found;
pub(crate) mod frames;
mod guard;
pub(crate) mod hold;
pub(crate) mod lane;
pub(crate) mod latest;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod rank;
pub(crate) mod read;
pub(crate) mod readers;
mod retained;
pub(crate) mod rounds;
pub(crate) mod tombstone;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use tokio::sync::Notify;

use self::{
    append::{AfterAppend, Append},
    counts::HubCounts,
    found::{Budget, FoundEvent},
    guard::{TopicGuard, TopicState},
    lane::{Advance, DETACHED, Face, Lane, LaneClosed, LaneQuery, Place},
    latest::LatestEntry,
    log::Entry,
    members::{Members, PresenceDiff, TopicPresence},
    rank::{EvictionRank, EvictionState, EvictionTicket},
    read::{Query, ReadContext, SharedRead, TopicRead, WaitOutcome},
    readers::{PublisherWait, Readers},
    retained::Retained,
    rounds::{Gathered, News},
    tombstone::Tombstone,
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
    face: Face,
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
            lanes: Vec::new(),
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
            face: Face::new(state.retained.numbers()),
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
        TopicGuard::new(lock(&self.state), &self.counts, &self.face)
    }

    /// Locks the state, and evicts the events that are older than the bound of age.
    #[inline]
    fn lock_unexpired(&self, now: u64) -> Guard<'_, TopicState<Arc<Self>>> {
        let state = self.lock();
        if !state.retained.has_expired(now) {
            return state;
        }
        TopicGuard::new(state, &self.counts, &self.face).retained.evict_expired(now);
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
        state.set_face();
        let queues = if closes || lingers {
            state.record(Some(&if closes { News::DUE } else { News::of(gathered, &state.retained.bounds()) }))
        } else {
            state.record(None)
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
        let TopicState { readers, lanes, .. } = &mut *state;
        let unused = readers.poll_wait(wait, is_closed, waker, |through| {
            // Ordering: set before the cursors are counted, so that each is counted or reported.
            self.face.set_awaited(true);
            lanes.iter().map(|(_, lane)| lane.behind(through)).sum()
        });
        self.face.set_awaited(readers.is_awaited());
        let queues = if unused.is_ok() { state.release() } else { None };
        drop(state);
        let polled = if unused.is_ok() { Poll::Pending } else { Poll::Ready(()) };
        (polled, Wakes::of(Vec::new(), self, queues))
    }

    /// Cancels a wait for readers.
    pub(crate) fn cancel_wait(&self, wait: &PublisherWait) {
        if let PublisherWait::Registered(publisher) = *wait {
            let mut state = self.lock();
            let waker = state.readers.cancel_wait(publisher);
            self.face.set_awaited(state.readers.is_awaited());
            drop(state);
            drop(waker);
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
        state.set_face();
        state.lanes.iter().for_each(|(_, lane)| lane.begin_epoch(evicted_through));
        let (queues, publishers) = (state.record(Some(&News::DUE)), state.readers.begin_epoch());
        drop(state);
        Wakes::of(publishers, self, queues)
    }

    /// Sets the bounds, and evicts what exceeds them.
    pub(crate) fn set_bounds(&self, bounds: Retention, now: u64) {
        self.lock_retained().retained.set_bounds(bounds, now);
    }

    /// Sets the time for which the topic may gather events.
    pub(crate) fn set_linger(self: &Arc<Self>, linger: Linger) -> TopicWakes {
        let mut state = self.lock();
        state.linger = linger;
        let queues = state.release();
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
        if !self.face.has_expired(now) {
            return true;
        }
        let Some(state) = try_lock(&self.state) else { return false };
        if state.retained.has_expired(now) {
            TopicGuard::new(state, &self.counts, &self.face).retained.evict_expired(now);
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
        let settings = TopicSettings { bounds: retained.bounds(), linger: state.linger };
        Tombstone {
            through: retained.newest_through(through),
            closed_since: retained.closings.closed_since(),
            settings: Some(settings).filter(|settings| *settings != default),
        }
    }
}

/// Methods for readers. Each `is_current` is asked under a lock of the topic or of a lane: a cursor of an epoch that is over
/// says nothing of the topic.
impl TopicShared {
    /// Adds a reader, and its member, that waits in a queue. Returns its place.
    ///
    /// # Errors
    ///
    /// Errors if the pump of the queue is gone.
    pub(crate) fn join(
        &self,
        queue: &Arc<TopicQueue>,
        cursor: u64,
        is_current: impl FnOnce() -> bool,
        member: Option<&Arc<str>>,
    ) -> Result<(Place, TopicWakes), LaneClosed> {
        let mut state = self.lock();
        let lane = state.open_lane(queue).ok_or(LaneClosed(None))?;
        let cursor = if is_current() { cursor } else { 0 };
        state.readers.join(cursor);
        let seat = lane.join(cursor);
        state.members.join(member);
        drop(state);
        Ok((Place { lane, seat }, Wakes::of_arrival(Vec::new(), &self.arrivals)))
    }

    /// Moves a reader to the lane of another queue. Returns its place there, and its waker.
    ///
    /// # Errors
    ///
    /// Errors if the pump of the queue is gone. The reader stays where it is.
    pub(crate) fn move_to(&self, place: &Place, queue: &Arc<TopicQueue>) -> Result<(Place, Option<Waker>), LaneClosed> {
        let mut state = self.lock();
        let lane = state.open_lane(queue).ok_or(LaneClosed(None))?;
        let (waker, cursor) = place.lane.leave(place.seat);
        let seat = lane.join(cursor.unwrap_or(DETACHED));
        Ok((Place { lane, seat }, waker))
    }

    /// Removes a reader, its waker and its member. Its seat may become another's.
    pub(crate) fn leave(&self, place: &Place, member: Option<&Arc<str>>) -> TopicWakes {
        let mut state = self.lock();
        let (waker, cursor) = place.lane.leave(place.seat);
        state.readers.leave();
        let publishers = cursor.map_or_else(Vec::new, |cursor| {
            state.members.leave(member);
            state.readers.moved(cursor, DETACHED)
        });
        drop(state);
        drop(waker);
        Wakes::of_arrival(publishers, &self.arrivals)
    }

    /// Removes a reader from the presence, and from what publishers wait for, though its seat stays its own. Does nothing if it
    /// was detached before.
    pub(crate) fn detach(&self, place: &Place, member: Option<&Arc<str>>) -> Option<TopicWakes> {
        let mut state = self.lock();
        let publishers = state.set_cursor(place, DETACHED)?;
        state.members.leave(member);
        drop(state);
        Some(Wakes::of_arrival(publishers, &self.arrivals))
    }

    /// Reports the cursor of a reader, as a publisher waits for it.
    #[cold]
    fn report(&self, place: &Place, cursor: u64, is_current: impl FnOnce() -> bool) -> PublisherWakes {
        let mut state = self.lock();
        let publishers = if is_current() { state.set_cursor(place, cursor) } else { None };
        drop(state);
        PublisherWakes::new(publishers.unwrap_or_default())
    }

    /// Returns the sequence of the newest event that the query would have selected, had it not been evicted or hidden.
    pub(crate) fn missed_through(&self, query: Query) -> u64 {
        self.lock().retained.missed_through(query)
    }

    /// Returns whether the query selects an event. To a reader that is not new, an event that it has missed counts too.
    pub(crate) fn has_any(&self, query: Query, is_new: bool) -> bool {
        self.lock().retained.has_any(query, is_new)
    }

    /// Advances a reader, and returns a slice of a frame of its lane after its cursor. Up to `acked_gap`, evicted events are no
    /// loss to it. Takes no lock of the topic, unless a publisher waits.
    #[inline]
    pub(crate) fn read_shared(
        &self,
        place: &Place,
        (cursor, acked_gap): (u64, u64),
        now: u64,
        is_current: impl Fn() -> bool,
    ) -> SharedRead {
        let query = LaneQuery { seat: place.seat, cursor, acked_gap, now };
        let (read, advance) = place.lane.read_shared(&self.face, query, &is_current);
        self.finish(advance, place, cursor, is_current).wake();
        read
    }

    /// Advances a reader, and appends the events that its query selects to `into`.
    pub(crate) fn read(
        &self,
        place: &Place,
        query: Query,
        budget: Budget,
        context: &ReadContext<'_, impl Fn() -> bool>,
        into: &mut Vec<FoundEvent>,
    ) -> (TopicRead, PublisherWakes) {
        let advance = place.lane.advance(&self.face, place.seat, query.after, &context.is_current);
        let wakes = self.finish(advance, place, query.after, &context.is_current);
        let state = self.lock_unexpired(context.now);
        let retained = &state.retained;
        let missed_through = retained.missed_through(query);
        let truncated_at = retained.read(query, budget, context.prefix, into);
        let closings = (retained.closings.last() > 0).then(|| retained.closings.beyond(query.after));
        drop(state);
        (TopicRead { truncated_at, missed_through, closings }, wakes)
    }

    /// Advances a reader, and registers its waker under the lock of its lane under which there is no news for it. Takes no lock
    /// of the topic, unless a publisher waits.
    #[inline]
    pub(crate) fn wait(
        &self,
        place: &Place,
        cursor: u64,
        watermark: &Watermark,
        is_current: impl Fn() -> bool,
        waker: Waker,
    ) -> Result<(WaitOutcome, PublisherWakes), LaneClosed> {
        let (outcome, advance) = place.lane.wait(&self.face, (place.seat, cursor), watermark, &is_current, waker)?;
        Ok((outcome, self.finish(advance, place, cursor, is_current)))
    }

    /// Reports a cursor that was not changed as a publisher waits.
    #[inline]
    fn finish(
        &self,
        advance: Advance,
        place: &Place,
        cursor: u64,
        is_current: impl FnOnce() -> bool,
    ) -> PublisherWakes {
        match advance {
            Advance::Done => PublisherWakes::default(),
            Advance::Report => self.report(place, cursor, is_current),
        }
    }
}

/// Methods for the pump.
impl TopicShared {
    /// Returns the lane of a queue, and the time for which the topic lingers.
    pub(crate) fn lane(&self, queue: &TopicQueue) -> Option<(Arc<Lane>, Linger)> {
        let state = self.lock();
        let (_, lane) = state.lanes.iter().find(|(other, _)| other.id() == queue.id())?;
        Some((Arc::clone(lane), state.effective_linger()))
    }

    /// Encodes the events since the last round into frames, if several subscribers wait in this lane. Stops if the epoch is not
    /// current any more: another round is under way then.
    pub(crate) fn build_frames(&self, lane: &Lane, prefix: &[u8], is_current: impl Fn() -> bool) {
        let Some(mut after) = lane.encoded_through() else { return lane.skip(self.last(), is_current) };
        for _ in 0..FRAMES_A_ROUND {
            let events = self.lock().retained.unencoded(after, prefix);
            let Some(frame) = frames::encode(prefix, &events) else { return };
            let through = frame.through();
            if !lane.push(after, frame, &is_current) {
                return;
            }
            after = through;
        }
        // Each subscriber encodes the rest for itself.
        lane.skip(self.last(), is_current);
    }

    /// Removes the lane of a queue whose pump is gone. Returns its wakers.
    pub(crate) fn remove_queue(&self, queue: &TopicQueue) -> OwedWakes {
        let mut state = self.lock();
        let at = state.lanes.iter().position(|(other, _)| other.id() == queue.id());
        let lane = at.map(|at| state.lanes.swap_remove(at).1);
        drop(state);
        let Some(lane) = lane else { return OwedWakes::default() };
        lane.close();
        OwedWakes::new(lane.take_all())
    }

    fn last(&self) -> u64 {
        self.lock().retained.log.last()
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
    fn take_waiters(&self, queue: &TopicQueue) -> OwedWakes {
        let lane = self.lane(queue).map(|(lane, _)| lane);
        OwedWakes::new(lane.map_or_else(Vec::new, |lane| lane.take_all()))
    }
}

impl Drop for TopicShared {
    fn drop(&mut self) {
        self.remove_from_counts();
    }
}

/// The number of frames that a round of the pump encodes; each subscriber encodes the rest for itself.
const FRAMES_A_ROUND: usize = 4;
