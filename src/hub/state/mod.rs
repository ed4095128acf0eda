//! All that a topic is, under one lock: its log, its keyed values, and who reads.
//!
//! Pure but for the lock around it. Time is milliseconds by the hub's clock.

pub(crate) mod closings;
pub(crate) mod counts;
pub(crate) mod found;
pub(crate) mod frames;
pub(crate) mod hold;
pub(crate) mod latest;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod rank;
pub(crate) mod read;
pub(crate) mod readers;
pub(crate) mod tombstone;
pub(crate) mod waiters;

use crate::hub::state::waiters::QueuedLanes;
use std::fmt;
use std::task::Waker;
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use self::{
    closings::Closings,
    counts::HubCounts,
    found::{Budget, FoundEvent},
    frames::FrameCache,
    latest::Latest,
    log::{Entry, Log},
    members::Members,
    read::{Floor, Query, Selection},
    readers::Readers,
    waiters::Waiters,
};
use crate::hub::state::{
    rank::{ReclaimRank, ReclaimTicket},
    tombstone::Tombstone,
};

use super::{
    retention::Retention,
    sync::{Mutex, MutexGuard, lock, try_lock},
    wake::lane::WakeQueue,
};

/// The table that a topic is in.
pub(crate) trait Table: fmt::Debug + Send + Sync {
    /// Removes a topic that is not held any more, unless it is to be kept.
    fn release(&self, topic: &Arc<TopicShared>);
}

/// A topic, as its hub and its subscribers hold it.
#[derive(Debug)]
pub(crate) struct TopicShared {
    name: Arc<str>,
    /// The counts of what all topics of the hub keep together.
    pub(crate) tally: Arc<HubCounts>,
    pub(crate) hub: Weak<dyn Table>,
    /// The number of [holds](crate::hub::hold::Hold) that there are.
    pub(crate) holds: AtomicUsize,
    /// When a subscriber held it last, or 0 if there was none.
    read_at: AtomicU64,
    /// Is told when somebody comes or leaves.
    pub(crate) arrivals: Arc<Notify>,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) bounds: Retention,
    pub(crate) log: Log,
    pub(crate) latest: Latest,
    pub(crate) closings: Closings,
    pub(crate) frames: FrameCache,
    pub(crate) waiters: Waiters<Arc<TopicShared>>,
    pub(crate) readers: Readers,
    pub(crate) members: Members,
    /// The hub knows when its oldest event came.
    pub(crate) is_tracked: bool,
    /// Its place among the topics that are not held.
    pub(crate) reclaim_ticket: Option<ReclaimTicket>,
}

/// The state, whose bytes are the hub's too when it is let go.
pub(crate) struct TopicGuard<'a> {
    state: MutexGuard<'a, TopicState>,
    /// The bytes and the evicted keys when it was locked.
    before: (usize, u64),
    tally: &'a HubCounts,
}

impl TopicShared {
    /// Creates an empty topic, with what is remembered of the last one of its name.
    pub(crate) fn new(
        hub: &Weak<dyn Table>,
        tally: &Arc<HubCounts>,
        name: Arc<str>,
        gone: &Tombstone,
        bounds: Retention,
        members: Members,
    ) -> Arc<Self> {
        let state = TopicState {
            bounds: gone.bounds.unwrap_or(bounds),
            log: Log::new(gone.through),
            latest: Latest::new(gone.through),
            closings: Closings::since(gone.closed_since),
            frames: FrameCache::new(gone.through),
            waiters: Waiters::new(),
            readers: Readers::default(),
            members,
            is_tracked: false,
            reclaim_ticket: None,
        };
        Arc::new(Self {
            name,
            tally: Arc::clone(tally),
            hub: Weak::clone(hub),
            holds: AtomicUsize::new(0),
            read_at: AtomicU64::new(0),
            arrivals: Arc::default(),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn lock(&self) -> TopicGuard<'_> {
        TopicGuard::new(lock(&self.state), &self.tally)
    }

    pub(crate) fn try_lock(&self) -> Option<TopicGuard<'_>> {
        try_lock(&self.state).map(|state| TopicGuard::new(state, &self.tally))
    }

    /// Returns whether a subscriber, a [`Topic`](crate::hub::Topic) or a [`Presence`](crate::hub::Presence) holds it. Under the hub's
    /// lock, one that is not held stays so.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    /// Notes that a subscriber holds it now.
    pub(crate) fn read_at(&self, now: u64) {
        self.read_at.store(now, Ordering::Relaxed);
    }

    /// Returns when it makes room for others.
    pub(crate) fn rank(&self, state: &TopicState) -> ReclaimRank {
        let read_at = self.read_at.load(Ordering::Relaxed);
        ReclaimRank { is_keyed: state.latest.len() > 0, read_at, newest: state.newest_through(u64::MAX) }
    }

    /// Joins what came since the last round, for those who wait in this lane to share. If its history is not now any more,
    /// the ids would not be those of the events: another round is under way.
    pub(crate) fn build_frames(&self, lane: &WakeQueue<Arc<Self>>, prefix: &[u8], is_now: impl Fn() -> bool) {
        let is_shared = self.lock().waiters.len(lane) > 1;
        for _ in 0..if is_shared { FRAMES_A_ROUND } else { 0 } {
            let (after, events) = self.lock().unencoded(prefix);
            let frame = frames::join(prefix, &events);
            if frame.is_none() {
                return;
            }
            let mut state = self.lock();
            if !is_now() {
                return;
            }
            state.frames.push(after, frame);
        }
        // The rest, if there is any, each encodes for itself.
        let mut state = self.lock();
        let last = state.log.last();
        state.frames.skip(last);
    }
}

impl TopicState {
    /// How much it keeps.
    pub(crate) fn bytes(&self) -> usize {
        self.log.bytes() + self.latest.bytes()
    }

    /// Takes an event, which opens the topic if it is closed, and lets go what the bounds leave no room for.
    pub(crate) fn append(&mut self, entry: Entry) {
        self.closings.open(entry.sequence);
        if let Some(key) = &entry.key {
            self.latest.put(Arc::clone(key), entry.sequence, entry.event.clone());
        }
        let now = entry.at;
        self.log.push(entry);
        self.trim(now);
    }

    /// Lets go what is too old, or too much.
    pub(crate) fn trim(&mut self, now: u64) {
        while self.latest.len() > self.bounds.keys {
            self.latest.evict(u64::MAX);
        }
        while self.log.len() > self.bounds.events || (self.bytes() > self.bounds.bytes && self.log.len() > 1) {
            self.evict();
        }
        while self.bytes() > self.bounds.bytes && self.evict_key(u64::MAX) {}
        self.expire(now);
    }

    /// Lets go what is too old.
    pub(crate) fn expire(&mut self, now: u64) {
        let Some(age) = self.bounds.age else { return };
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        while self.log.oldest().is_some_and(|oldest| now.saturating_sub(oldest.at) > age) {
            self.evict();
        }
    }

    /// Another history: everything up to here is gone. Gives who has to know.
    pub(crate) fn begin_epoch(&mut self, gone_through: u64) -> ToWake {
        self.log = Log::new(gone_through);
        self.latest = Latest::new(gone_through);
        // There are other histories only where a hub is fed.
        self.latest.set_partial(true);
        self.closings.renew();
        self.frames = FrameCache::new(gone_through);
        self.is_tracked = false;
        ToWake { lanes: self.waiters.queue_lanes(), producers: self.readers.begin_epoch(), closes: false }
    }

    /// Lets the oldest event go.
    pub(crate) fn evict(&mut self) {
        if self.log.evict().is_some() {
            self.frames.evicted(self.log.evicted_through());
        }
    }

    /// Lets the key go that was published least recently, if that was no later than this.
    pub(crate) fn evict_key(&mut self, through: u64) -> bool {
        self.latest.evict(through)
    }

    /// Returns the sequence of the newest event, or keyed value, that it ever had up to a position.
    pub(crate) fn newest_through(&self, through: u64) -> u64 {
        // Keys that a backplane has loaded are in no log, and may be ahead of all logs.
        self.log.last().max(self.latest.newest_through(through).unwrap_or(0))
    }

    /// Returns whether something was published, or the topic closed, above this position.
    pub(crate) fn has_news(&self, position: u64) -> bool {
        self.log.last() > position || self.closings.last() > position
    }

    /// Returns whether there is an event that a reader wishes for. An event that is gone is one too, but to a new reader.
    pub(crate) fn has_any(&self, wish: Query, is_new: bool) -> bool {
        let mut events = Vec::new();
        self.read(wish, Budget::ONE, &[], &mut events);
        !events.is_empty() || (!is_new && self.missed_through(wish) > wish.after)
    }

    /// Whether nothing would be lost if it were not there.
    pub(crate) fn is_idle(&self) -> bool {
        self.log.len() == 0 && self.latest.len() == 0 && self.readers.len() == 0
    }

    /// A frame of what came since the last one, and where that was.
    fn unencoded(&self, prefix: &[u8]) -> (u64, Vec<FoundEvent>) {
        let after = self.frames.through();
        let mut events = Vec::new();
        if self.log.last() > after {
            let floor = Floor::default();
            let wish = Query { selection: Selection::All, after, through: u64::MAX, floor, came_at: 0, seat: 0 };
            self.read(wish, Budget::FRAME, prefix, &mut events);
        }
        (after, events)
    }

    /// What a reader wishes for. Gives how far the last of it reaches if more may follow.
    pub(crate) fn read(&self, wish: Query, budget: Budget, prefix: &[u8], into: &mut Vec<FoundEvent>) -> Option<u64> {
        wish.read(&self.log, &self.latest, budget, prefix, into)
    }

    /// The newest event that a reader who wishes this does not get: it is gone, or too old for it. It has missed it, if it has
    /// come less far.
    pub(crate) fn missed_through(&self, wish: Query) -> u64 {
        let hidden = wish.hidden(&self.log, &self.latest).unwrap_or(0);
        self.evicted_through(wish.selection, wish.came_at).max(hidden)
    }

    /// What a reader who takes so may have missed, if it had come less far.
    /// Keys whose newest event was older than the reader, if it is new, are the past to it: those it has not missed.
    fn evicted_through(&self, take: Selection, came_at: u64) -> u64 {
        match take {
            Selection::All => self.log.evicted_through(),
            Selection::Conflated => {
                let keys = Some(self.latest.evicted_through()).filter(|&keys| keys > came_at);
                self.log.unkeyed_evicted_through().max(keys.unwrap_or(0))
            }
            Selection::Snapshot => 0,
        }
    }
}

impl<'a> TopicGuard<'a> {
    fn new(state: MutexGuard<'a, TopicState>, tally: &'a HubCounts) -> Self {
        Self { before: (state.bytes(), state.latest.evicted()), state, tally }
    }
}

impl Deref for TopicGuard<'_> {
    type Target = TopicState;

    fn deref(&self) -> &TopicState {
        &self.state
    }
}

impl DerefMut for TopicGuard<'_> {
    fn deref_mut(&mut self) -> &mut TopicState {
        &mut self.state
    }
}

impl Drop for TopicGuard<'_> {
    fn drop(&mut self) {
        let (before, evicted_before) = self.before;
        let (now, evicted) = (self.state.bytes(), self.state.latest.evicted());
        if now != before {
            // A difference below nothing wraps, and so does the sum.
            self.tally.kept.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
        if evicted > evicted_before {
            self.tally.evicts_keys(evicted - evicted_before);
        }
    }
}

impl Drop for TopicShared {
    fn drop(&mut self) {
        let bytes = self.lock().bytes();
        self.tally.kept.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How many frames the pump joins at once; what is beyond them each subscriber encodes for itself.
const FRAMES_A_ROUND: usize = 4;

/// Who has to know of an append.
pub(crate) struct ToWake {
    pub(super) lanes: QueuedLanes<Arc<TopicShared>>,
    pub(super) producers: Vec<Waker>,
    /// The topic was closed.
    pub(super) closes: bool,
}

pub(crate) type TopicQueue = WakeQueue<Arc<TopicShared>>;
