//! The lane of a topic: the part that the subscribers of one runtime share, behind a lock of its own.
//!
//! A lane has the seats of the subscribers that wait in one queue, each with its waker and its cursor, and the frames that the
//! pump of that queue has encoded. A subscriber that is given a frame, or waits, takes the lane's lock and reads the topic's
//! [`Face`], which publishers alone write. So subscribers of different runtimes write to no memory in common.
//!
//! Lock order: the topic, then one lane of it at a time. A subscriber that holds a lane's lock does not take the topic's.
//!
//! Ordering: a publisher changes the face under the topic's lock, and locks each lane after that. A subscriber reads the face
//! under its lane's lock. So either the publisher finds the subscriber in the lane, or the subscriber finds the change in the
//! face. The same holds of [`Face::set_awaited`]: a publisher that waits for cursors sets it, and counts the cursors of each
//! lane after that; a subscriber that finds it set reports its cursor under the topic's lock. An epoch is current before its
//! topics begin it: a subscriber either finds under its lane's lock that its epoch is over, or is woken.
//!
//! Wakers are cloned before they come in, and go out to be dropped: none is woken, cloned or dropped under the lock.

use std::{mem, sync::Arc, task::Waker};

use super::{
    frames::{EncodedFrame, FrameCache},
    read::{SharedRead, WaitOutcome},
    rounds::{News, RoundStart, Rounds},
};
use crate::hub::{
    position::Watermark,
    settings::Linger,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        lock,
    },
};

/// The numbers of a topic that subscribers read without its lock. They change under the topic's lock.
#[derive(Debug)]
pub(crate) struct Face {
    /// The position of the newest event or closing.
    news: AtomicU64,
    /// The position of the last closing.
    closed: AtomicU64,
    /// The sequence up to which events are evicted.
    evicted: AtomicU64,
    /// The time after which the oldest event is to be evicted for its age, or `u64::MAX` if none is.
    expires: AtomicU64,
    /// A publisher waits for cursors, so that each that advances has to be reported to the topic.
    is_awaited: AtomicBool,
}

/// The numbers of a topic at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) news: u64,
    pub(crate) closed: u64,
    pub(crate) evicted: u64,
    pub(crate) expires: u64,
}

/// The part of a topic that the subscribers of one queue share.
#[derive(Debug)]
pub(crate) struct Lane {
    queue: u32,
    state: Mutex<LaneState>,
}

#[derive(Debug)]
struct LaneState {
    seats: Vec<Seat>,
    free: Vec<u32>,
    waiting: usize,
    frames: FrameCache,
    /// The sequence up to which events are evicted.
    evicted: u64,
    /// The wakers are taken when the topic's turn in the queue comes.
    rounds: Rounds,
    /// The pump is gone.
    is_closed: bool,
}

/// The place of a subscriber in a lane.
#[derive(Debug)]
struct Seat {
    waker: Option<Waker>,
    /// The cursor, or [`DETACHED`].
    cursor: u64,
}

/// The place of a subscriber in a topic.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) lane: Arc<Lane>,
    pub(crate) seat: u32,
}

/// The cursor of a reader at a read of a lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneQuery {
    pub(crate) seat: u32,
    pub(crate) cursor: u64,
    /// The sequence up to which evicted events are no loss to the reader.
    pub(crate) acked_gap: u64,
    pub(crate) now: u64,
}

/// The outcome of a change of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a cursor that was not changed has to be reported"]
pub(crate) enum Advance {
    Done,
    /// A publisher waits: nothing was changed, and the cursor has to be reported under the topic's lock.
    Report,
}

/// The error that the pump of a lane is gone: another lane is needed. Holds a waker, to be dropped after the lock.
#[derive(Debug)]
pub(crate) struct LaneClosed(#[expect(dead_code, reason = "it is only dropped")] pub(crate) Option<Waker>);

impl Face {
    pub(super) fn new(numbers: Numbers) -> Self {
        Self {
            news: AtomicU64::new(numbers.news),
            closed: AtomicU64::new(numbers.closed),
            evicted: AtomicU64::new(numbers.evicted),
            expires: AtomicU64::new(numbers.expires),
            is_awaited: AtomicBool::new(false),
        }
    }

    /// Sets the numbers, under the topic's lock.
    pub(super) fn set(&self, numbers: Numbers) {
        // Ordering: the news last. A reader that finds them finds what was evicted for them, and the closing that they are.
        self.evicted.store(numbers.evicted, Ordering::Release);
        self.closed.store(numbers.closed, Ordering::Release);
        self.expires.store(numbers.expires, Ordering::Release);
        self.news.store(numbers.news, Ordering::Release);
    }

    /// Sets whether a publisher waits for cursors, under the topic's lock and before the cursors are counted.
    pub(super) fn set_awaited(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::Release);
    }

    /// Returns whether an event is older than the bound of age.
    pub(super) fn has_expired(&self, now: u64) -> bool {
        now > self.expires.load(Ordering::Acquire)
    }

    /// Returns whether everything after a cursor is in the log, and is no closing.
    fn has_all(&self, query: LaneQuery) -> bool {
        !self.has_expired(query.now)
            && self.evicted.load(Ordering::Acquire) <= query.cursor.max(query.acked_gap)
            && self.closed.load(Ordering::Acquire) <= query.cursor
    }

    /// Returns whether there is an event or a closing after a cursor.
    fn has_news(&self, cursor: u64) -> bool {
        self.news.load(Ordering::Acquire) > cursor
    }
}

/// Methods for subscribers. Each `is_current` is asked under the lane's lock: a cursor of an epoch that is over says nothing of
/// the topic.
impl Lane {
    /// Creates the lane of a queue, without subscribers, whose frames continue after a sequence.
    pub(super) fn new(queue: u32, through: u64) -> Arc<Self> {
        let state = LaneState {
            seats: Vec::new(),
            free: Vec::new(),
            waiting: 0,
            frames: FrameCache::new(through),
            evicted: 0,
            rounds: Rounds::default(),
            is_closed: false,
        };
        Arc::new(Self { queue, state: Mutex::new(state) })
    }

    /// Returns the id of the queue in which the subscribers wait.
    pub(crate) fn queue(&self) -> u32 {
        self.queue
    }

    /// Advances a reader, unless a publisher waits.
    pub(crate) fn advance(&self, face: &Face, seat: u32, cursor: u64, is_current: impl FnOnce() -> bool) -> Advance {
        lock(&self.state).advance(face, seat, cursor, is_current())
    }

    /// Advances a reader, unless a publisher waits, and returns a slice of a frame after its cursor. Needs no lock of the topic.
    #[inline]
    pub(crate) fn read_shared(
        &self,
        face: &Face,
        query: LaneQuery,
        is_current: impl FnOnce() -> bool,
    ) -> (SharedRead, Advance) {
        let mut state = lock(&self.state);
        let advance = state.advance(face, query.seat, query.cursor, is_current());
        // Ordering: the frames before the face, which is ahead of them.
        let slice = state.frames.after(query.cursor).filter(|_| face.has_all(query));
        drop(state);
        let read = match slice {
            Some(slice) => SharedRead::Frame(slice),
            None if face.has_news(query.cursor) => SharedRead::Fallback,
            None => SharedRead::UpToDate,
        };
        (read, advance)
    }

    /// Advances a reader, unless a publisher waits, and registers its waker under the lock under which there is no news for it.
    #[inline]
    pub(crate) fn wait(
        &self,
        face: &Face,
        (seat, cursor): (u32, u64),
        watermark: &Watermark,
        is_current: impl FnOnce() -> bool,
        waker: Waker,
    ) -> Result<(WaitOutcome, Advance), LaneClosed> {
        let mut state = lock(&self.state);
        if state.is_closed {
            drop(state);
            return Err(LaneClosed(Some(waker)));
        }
        let is_current = is_current();
        let advance = state.advance(face, seat, cursor, is_current);
        // Each event of the topic is below the watermark, unless it cannot be read yet: a reader that did not wait for that
        // one would look again and again.
        let has_news = face.has_news(cursor) && watermark.get() > cursor;
        let outcome = if has_news || !is_current { WaitOutcome::Ready } else { WaitOutcome::Registered };
        let unused = match outcome {
            WaitOutcome::Registered => state.register(seat, waker),
            WaitOutcome::Ready => Some(waker),
        };
        drop(state);
        drop(unused);
        Ok((outcome, advance))
    }
}

/// Methods under the topic's lock.
impl Lane {
    /// Adds a reader. Returns its seat.
    pub(super) fn join(&self, cursor: u64) -> u32 {
        lock(&self.state).join(cursor)
    }

    /// Removes a reader, whose seat may become another's. Returns its waker, and its cursor unless it was detached.
    pub(super) fn leave(&self, seat: u32) -> (Option<Waker>, Option<u64>) {
        let mut state = lock(&self.state);
        let waker = state.take_waker(seat);
        let cursor = state.set_cursor(seat, DETACHED);
        state.free.push(seat);
        (waker, cursor)
    }

    /// Sets the cursor of a reader that reports it, or detaches it. Returns the one before, or `None` if the reader is detached.
    pub(super) fn report(&self, seat: u32, cursor: u64) -> Option<u64> {
        lock(&self.state).set_cursor(seat, cursor)
    }

    /// Returns the number of cursors that are below a sequence.
    pub(super) fn behind(&self, through: u64) -> usize {
        lock(&self.state).seats.iter().filter(|seat| seat.cursor < through).count()
    }

    /// Removes the frames of events that are evicted, and records news. Returns whether the topic has to be added to the queue.
    #[inline]
    pub(super) fn record(&self, evicted: u64, news: Option<&News>) -> bool {
        let mut state = lock(&self.state);
        state.evict(evicted);
        state.waiting > 0
            && match news {
                None => state.rounds.mark(),
                Some(news) => state.rounds.record(news),
            }
    }

    /// Makes a round due that has not begun. Returns whether the topic has to be added to the queue.
    pub(super) fn release(&self) -> bool {
        lock(&self.state).rounds.release()
    }

    /// Begins another epoch, of which no reader has read anything and no frame is encoded.
    pub(super) fn begin_epoch(&self, through: u64) {
        let mut state = lock(&self.state);
        (state.frames, state.evicted) = (FrameCache::new(through), through);
        let present = state.seats.iter_mut().filter(|seat| seat.cursor != DETACHED);
        present.for_each(|seat| seat.cursor = 0);
    }
}

/// Methods for the pump.
impl Lane {
    /// Begins a round as the topic's turn comes, unless the topic has to be held. `now` is called only if it lingers.
    pub(crate) fn begin_round(&self, linger: Linger, now: impl FnOnce() -> u64) -> RoundStart {
        lock(&self.state).rounds.begin(linger, now)
    }

    /// Begins a round as the time is over until which the topic was held. Returns `false` if the round was due earlier.
    pub(crate) fn resume_round(&self, until: u64, now: u64) -> bool {
        lock(&self.state).rounds.expire(until, now)
    }

    /// Returns the sequence up to which events were encoded, or skipped, if several subscribers wait.
    pub(crate) fn encoded_through(&self) -> Option<u64> {
        let state = lock(&self.state);
        (state.waiting > 1).then(|| state.frames.through())
    }

    /// Adds a frame of all events since `after`. Returns `false`, and adds nothing, if their epoch is not current any more: the
    /// ids would not be those of the events, and another round is under way.
    pub(crate) fn push(&self, after: u64, frame: EncodedFrame, is_current: impl FnOnce() -> bool) -> bool {
        let mut state = lock(&self.state);
        let is_current = is_current();
        if is_current {
            state.frames.push(after, Some(frame));
            // Events that were evicted while they were encoded.
            let evicted = state.evicted;
            state.frames.evict_through(evicted);
        }
        is_current
    }

    /// Skips the events up to this sequence, of which there were too many.
    pub(crate) fn skip(&self, through: u64, is_current: impl FnOnce() -> bool) {
        let mut state = lock(&self.state);
        if is_current() {
            state.frames.skip(through);
        }
    }

    /// Ends the turn of the topic: a publish from here on adds it to the queue again. The wakers are taken after that.
    pub(crate) fn end_turn(&self) {
        lock(&self.state).rounds.end_turn();
    }

    /// Takes a batch of wakers, from a seat on. Returns the seat after the last that was looked at, or `None` at the end.
    pub(crate) fn take_batch(&self, from: usize, wakers: &mut Vec<Waker>) -> Option<usize> {
        let mut state = lock(&self.state);
        let seats = state.seats.get_mut(from..)?;
        let end = seats.len().min(BATCH);
        let before = wakers.len();
        wakers.extend(seats[..end].iter_mut().filter_map(|seat| seat.waker.take()));
        let taken = wakers.len() - before;
        state.waiting -= taken;
        (from + end < state.seats.len()).then_some(from + end)
    }

    /// Closes the lane, as its pump is gone: no subscriber waits in it from here on. The wakers are taken after that.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
    }

    /// Ends the turn, and takes all wakers.
    pub(crate) fn take_all(&self) -> Vec<Waker> {
        self.end_turn();
        let (mut from, mut wakers) = (Some(0), Vec::new());
        while let Some(at) = from {
            from = self.take_batch(at, &mut wakers);
        }
        wakers
    }
}

impl LaneState {
    fn join(&mut self, cursor: u64) -> u32 {
        let seat = Seat { waker: None, cursor };
        if let Some(free) = self.free.pop() {
            self.seats[free as usize] = seat;
            return free;
        }
        self.seats.push(seat);
        u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
    }

    #[inline]
    fn advance(&mut self, face: &Face, seat: u32, cursor: u64, is_current: bool) -> Advance {
        if !is_current {
            return Advance::Done;
        }
        if face.is_awaited.load(Ordering::Acquire) {
            return Advance::Report;
        }
        let _ = self.set_cursor(seat, cursor);
        Advance::Done
    }

    #[inline]
    fn set_cursor(&mut self, seat: u32, cursor: u64) -> Option<u64> {
        let seat = self.seats.get_mut(seat as usize).filter(|seat| seat.cursor != DETACHED)?;
        Some(mem::replace(&mut seat.cursor, cursor))
    }

    #[inline]
    fn register(&mut self, seat: u32, waker: Waker) -> Option<Waker> {
        let Some(seat) = self.seats.get_mut(seat as usize) else { return Some(waker) };
        let replaced = seat.waker.replace(waker);
        self.waiting += usize::from(replaced.is_none());
        replaced
    }

    fn take_waker(&mut self, seat: u32) -> Option<Waker> {
        let waker = self.seats.get_mut(seat as usize)?.waker.take();
        self.waiting -= usize::from(waker.is_some());
        waker
    }

    #[inline]
    fn evict(&mut self, through: u64) {
        if through != self.evicted {
            self.evicted = through;
            self.frames.evict_through(through);
        }
    }
}

/// The cursor of a detached subscriber, which is never behind.
pub(super) const DETACHED: u64 = u64::MAX;

/// The number of seats that are looked at under one lock.
const BATCH: usize = 128;

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::hub::state::{found, found::FoundEvent, frames};

    #[derive(Debug, Clone)]
    enum Step {
        Join(u64),
        Register(prop::sample::Index),
        Report(prop::sample::Index, u64),
        Leave(prop::sample::Index),
        Publish,
        Round,
    }

    fn step() -> impl Strategy<Value = Step> {
        let any = any::<prop::sample::Index>;
        prop_oneof![
            3 => (0_u64..20).prop_map(Step::Join),
            4 => any().prop_map(Step::Register),
            3 => (any(), 0_u64..20).prop_map(|(reader, to)| Step::Report(reader, to)),
            1 => any().prop_map(Step::Leave),
            2 => Just(Step::Publish),
            2 => Just(Step::Round),
        ]
    }

    fn face(evicted: u64, closed: u64, news: u64) -> Face {
        Face::new(Numbers { news, closed, evicted, expires: u64::MAX })
    }

    fn event(sequence: u64) -> FoundEvent {
        FoundEvent { sequence, event: Bytes::from(format!("data: {sequence}\n\n")), topic_index: 0 }
    }

    proptest! {
        #[test]
        fn a_lane_has_the_cursor_and_the_waker_of_each_reader(steps in prop::collection::vec(step(), 0..80)) {
            let (lane, face) = (Lane::new(1, 0), face(0, 0, 0));
            // The cursor of each seat, and whether it has a waker.
            let (mut naive, mut is_queued) = (BTreeMap::<u32, (u64, bool)>::new(), false);
            for step in steps {
                let seat = |naive: &BTreeMap<u32, _>, index: prop::sample::Index| {
                    (!naive.is_empty()).then(|| *index.get(&naive.keys().copied().collect::<Vec<_>>()))
                };
                match step {
                    Step::Join(cursor) => assert_eq!(naive.insert(lane.join(cursor), (cursor, false)), None),
                    Step::Register(index) => {
                        let Some(seat) = seat(&naive, index) else { continue };
                        let cursor = naive[&seat].0;
                        let waker = Waker::noop().clone();
                        let waited = lane.wait(&face, (seat, cursor), &Watermark::default(), || true, waker);
                        assert_eq!(waited.unwrap(), (WaitOutcome::Registered, Advance::Done));
                        naive.insert(seat, (cursor, true));
                    }
                    Step::Report(index, to) => {
                        let Some(seat) = seat(&naive, index) else { continue };
                        let entry = naive.get_mut(&seat).unwrap();
                        assert_eq!(lane.report(seat, to), Some(mem::replace(&mut entry.0, to)));
                    }
                    Step::Leave(index) => {
                        let Some(seat) = seat(&naive, index) else { continue };
                        let (cursor, has_waker) = naive.remove(&seat).unwrap();
                        let (waker, left) = lane.leave(seat);
                        assert_eq!((waker.is_some(), left), (has_waker, Some(cursor)));
                    }
                    Step::Publish => {
                        let is_due = !is_queued && naive.values().any(|&(_, has_waker)| has_waker);
                        assert_eq!(lane.record(0, None), is_due);
                        is_queued |= is_due;
                    }
                    Step::Round => {
                        let wakers = lane.take_all();
                        assert_eq!(wakers.len(), naive.values().filter(|&&(_, has_waker)| has_waker).count());
                        naive.values_mut().for_each(|seat| seat.1 = false);
                        is_queued = false;
                    }
                }
                for through in 0..20 {
                    assert_eq!(lane.behind(through), naive.values().filter(|&&(cursor, _)| cursor < through).count());
                }
            }
        }

        /// Neither what is evicted, unless the reader knows of it, nor what follows a closing is given from a frame.
        #[test]
        fn a_slice_has_all_that_follows_or_is_not_given(
            evicted in 0_u64..12,
            closed in 0_u64..12,
            cursor in 0_u64..12,
            acked_gap in 0_u64..12,
        ) {
            let (lane, face) = (Lane::new(1, 0), face(evicted, closed, 10));
            let seat = lane.join(0);
            let events: Vec<_> = (1..=10).map(event).collect();
            let frame = frames::encode(b"id: ", &events).unwrap();
            assert!(lane.push(0, frame, || true));
            let (read, _) = lane.read_shared(&face, LaneQuery { seat, cursor, acked_gap, now: 0 }, || true);
            let may_share = evicted <= cursor.max(acked_gap) && closed <= cursor;
            match read {
                SharedRead::Frame(slice) => {
                    assert!(may_share);
                    assert_eq!(slice.bytes, found::encode(b"id: ", &events[cursor as usize..]));
                }
                SharedRead::UpToDate => assert!(cursor >= 10),
                SharedRead::Fallback => assert!(cursor < 10 && !may_share),
            }
        }
    }

    fn read(lane: &Lane, face: &Face, now: u64) -> SharedRead {
        lane.read_shared(face, LaneQuery { seat: 0, cursor: 0, acked_gap: 0, now }, || true).0
    }

    fn frame() -> EncodedFrame {
        frames::encode(b"id: ", &[event(1)]).expect("there is an event")
    }

    #[test]
    fn no_frame_is_of_another_epoch() {
        let (lane, face) = (Lane::new(1, 0), face(0, 0, 1));
        assert!(lane.push(0, frame(), || true));
        assert!(matches!(read(&lane, &face, 0), SharedRead::Frame(_)));
        lane.begin_epoch(0);
        assert!(matches!(read(&lane, &face, 0), SharedRead::Fallback));
        assert!(!lane.push(0, frame(), || false), "encoded in the epoch before");
        assert!(matches!(read(&lane, &face, 0), SharedRead::Fallback));
        assert!(lane.push(0, frame(), || true));
        assert!(matches!(read(&lane, &face, 0), SharedRead::Frame(_)));
    }

    /// The log has to be read, and evicts the event.
    #[test]
    fn expired_event_is_not_given_from_a_frame() {
        let lane = Lane::new(1, 0);
        let face = Face::new(Numbers { news: 1, closed: 0, evicted: 0, expires: 10 });
        assert!(lane.push(0, frame(), || true));
        assert!(matches!(read(&lane, &face, 10), SharedRead::Frame(_)));
        assert!(matches!(read(&lane, &face, 11), SharedRead::Fallback));
    }

    /// Events may be evicted while a pump encodes them.
    #[test]
    fn frame_of_evicted_events_is_not_kept() {
        let lane = Lane::new(1, 0);
        assert!(!lane.record(1, None));
        assert!(lane.push(0, frame(), || true));
        assert!(lock(&lane.state).frames.after(0).is_none());
    }

    #[test]
    fn no_subscriber_waits_in_a_closed_lane() {
        let (lane, face) = (Lane::new(1, 0), face(0, 0, 0));
        let seat = lane.join(0);
        lane.close();
        assert!(lane.wait(&face, (seat, 0), &Watermark::default(), || true, Waker::noop().clone()).is_err());
    }

    /// A reader of an epoch that is over neither waits nor is counted.
    #[test]
    fn cursor_of_another_epoch_is_not_recorded() {
        let (lane, face) = (Lane::new(1, 0), face(0, 0, 0));
        let seat = lane.join(3);
        let waited = lane.wait(&face, (seat, 7), &Watermark::default(), || false, Waker::noop().clone());
        assert_eq!(waited.unwrap(), (WaitOutcome::Ready, Advance::Done));
        assert_eq!((lane.behind(3), lane.behind(4)), (0, 1));
    }

    #[test]
    fn awaited_cursor_is_left_to_its_report() {
        let (lane, face) = (Lane::new(1, 0), face(0, 0, 0));
        let seat = lane.join(3);
        face.set_awaited(true);
        assert_eq!(lane.advance(&face, seat, 7, || true), Advance::Report);
        assert_eq!(lane.behind(4), 1);
        assert_eq!((lane.report(seat, 7), lane.behind(4)), (Some(3), 0));
        assert_eq!((lane.report(seat, DETACHED), lane.report(seat, 9)), (Some(7), None), "detached for good");
    }
}

#[cfg(all(test, tower_sse_loom))]
mod loom_models {
    use std::{future::poll_fn, sync::Arc, task::Poll};

    use loom::{future::block_on, model::Builder, thread};

    use super::*;
    use crate::hub::wake::queue::WakeQueue;

    /// Runs a model in each order of its threads with at most so many preemptions.
    fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
        let mut model = Builder::new();
        model.preemption_bound = Some(preemptions);
        model.max_branches = 10_000;
        model.check(run);
    }

    /// A topic with lanes, whose log is a number, and the publisher that waits for its readers.
    struct Topic {
        face: Face,
        lanes: Vec<Arc<Lane>>,
        watermark: Watermark,
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        last: u64,
        behind: usize,
        publisher: Option<Waker>,
    }

    fn numbers(news: u64) -> Numbers {
        Numbers { news, closed: 0, evicted: 0, expires: u64::MAX }
    }

    fn topic(lanes: usize) -> Arc<Topic> {
        let lanes = (0..lanes).map(|_| Lane::new(1, 0)).collect();
        Arc::new(Topic {
            face: Face::new(numbers(0)),
            lanes,
            watermark: Watermark::default(),
            state: Mutex::new(State::default()),
        })
    }

    impl Topic {
        /// Appends an event. Returns the lanes whose pump has to learn of it.
        fn append(&self) -> Vec<Arc<Lane>> {
            let mut state = lock(&self.state);
            state.last += 1;
            self.watermark.advance_to(state.last);
            self.face.set(numbers(state.last));
            self.lanes.iter().filter(|lane| lane.record(0, None)).map(Arc::clone).collect()
        }

        /// Reads up to a position as a subscriber does.
        fn read(&self, lane: usize, seat: u32, through: u64) {
            let mut cursor = 0;
            while cursor < through {
                block_on(poll_fn(|cx| {
                    let waker = cx.waker().clone();
                    let waited = self.lanes[lane].wait(&self.face, (seat, cursor), &self.watermark, || true, waker);
                    let (outcome, advance) = waited.expect("the lane is open");
                    self.after(lane, seat, cursor, advance);
                    match outcome {
                        WaitOutcome::Ready => Poll::Ready(()),
                        WaitOutcome::Registered => Poll::Pending,
                    }
                }));
                cursor = lock(&self.state).last;
            }
            let query = LaneQuery { seat, cursor, acked_gap: 0, now: 0 };
            let (_, advance) = self.lanes[lane].read_shared(&self.face, query, || true);
            self.after(lane, seat, cursor, advance);
        }

        /// Reports a cursor if a publisher waits.
        fn after(&self, lane: usize, seat: u32, cursor: u64, advance: Advance) {
            if advance == Advance::Done {
                return;
            }
            let mut state = lock(&self.state);
            let old = self.lanes[lane].report(seat, cursor).expect("the reader is not detached");
            let mut publisher = None;
            if state.behind > 0 && old < 1 && cursor >= 1 {
                state.behind -= 1;
                publisher = if state.behind == 0 { state.publisher.take() } else { None };
            }
            drop(state);
            publisher.into_iter().for_each(Waker::wake);
        }

        /// Waits until all readers have the first event.
        fn wait_for_readers(&self) {
            let mut state = lock(&self.state);
            self.face.set_awaited(true);
            state.behind = self.lanes.iter().map(|lane| lane.behind(1)).sum();
            drop(state);
            block_on(poll_fn(|cx| {
                let waker = cx.waker().clone();
                let mut state = lock(&self.state);
                if state.behind == 0 {
                    return Poll::Ready(());
                }
                let _replaced = state.publisher.replace(waker);
                Poll::Pending
            }));
        }
    }

    fn round(lane: &Lane) {
        lane.take_all().into_iter().for_each(Waker::wake);
    }

    #[test]
    fn no_wake_up_is_lost_between_a_lane_and_its_topic() {
        model(2, || {
            let (topic, queue) = (topic(1), WakeQueue::<Arc<Lane>>::new(1, true));
            let seat = topic.lanes[0].join(0);
            let pump = thread::spawn({
                let queue = Arc::clone(&queue);
                move || {
                    while let Some(lane) = block_on(poll_fn(|cx| queue.poll_next(cx))) {
                        round(&lane);
                    }
                }
            });
            let publisher = thread::spawn({
                let (topic, queue) = (Arc::clone(&topic), Arc::clone(&queue));
                move || {
                    for _ in 0..2 {
                        topic.append().into_iter().for_each(|lane| assert!(queue.enqueue(lane).is_ok()));
                    }
                }
            });
            topic.read(0, seat, 2);
            publisher.join().expect("the thread has not panicked");
            queue.end();
            pump.join().expect("the thread has not panicked");
        });
    }

    #[test]
    fn each_of_two_lanes_is_woken() {
        model(2, || {
            let topic = topic(2);
            let seats = [0, 1].map(|lane| topic.lanes[lane].join(0));
            let publisher = thread::spawn({
                let topic = Arc::clone(&topic);
                move || topic.append().iter().for_each(|lane| round(lane))
            });
            let other = thread::spawn({
                let topic = Arc::clone(&topic);
                move || topic.read(1, seats[1], 1)
            });
            topic.read(0, seats[0], 1);
            publisher.join().expect("the thread has not panicked");
            other.join().expect("the thread has not panicked");
        });
    }

    /// Each cursor is counted once: by the publisher, or by its report.
    #[test]
    fn a_publisher_waits_for_the_readers_of_all_lanes() {
        model(2, || {
            let topic = topic(2);
            let seats = [0, 1].map(|lane| topic.lanes[lane].join(0));
            assert!(topic.append().is_empty());
            let readers = [0, 1].map(|lane| {
                let topic = Arc::clone(&topic);
                thread::spawn(move || topic.read(lane, seats[lane], 1))
            });
            topic.wait_for_readers();
            assert_eq!(topic.lanes.iter().map(|lane| lane.behind(1)).sum::<usize>(), 0);
            readers.into_iter().for_each(|reader| reader.join().expect("the thread has not panicked"));
        });
    }
}
