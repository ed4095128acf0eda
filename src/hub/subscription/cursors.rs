//! What a subscription has in each of its topics.
//!
//! Each topic's lock is taken for itself. No waker is cloned, woken or dropped under one.

use std::{
    fmt, mem, slice,
    sync::Arc,
    task::{Context, Waker},
};

use crate::hub::{
    core::Core,
    position::Epoch,
    state::{
        TopicQueue, TopicShared, TopicState,
        closings::{self, End},
        found::{Budget, FoundEvent},
        frames::Slice,
        hold::Hold,
        read::{Query, Selection},
        waiters::{LaneClosed, Ticket},
    },
};

/// The topics, and the place in each.
pub(crate) struct Cursors(Held);

/// Most have one topic, which is here itself: to go elsewhere for it costs memory, and time where all has gone cold.
enum Held {
    One(TopicCursor),
    Several(Box<[TopicCursor]>),
}

/// What it has in a topic.
struct TopicCursor {
    topic: Hold,
    /// The position up to which what had gone before a new client came is no loss to it.
    acked_gap: u64,
    ticket: Ticket,
    reader: u32,
}

/// What the subscribers of a topic share.
pub(crate) enum SharedRead {
    Frame(Slice),
    /// There is nothing new at all.
    UpToDate,
    /// There may be something elsewhere.
    Fallback,
}

/// What one look at all topics found.
pub(crate) struct Batch {
    pub(crate) events: Vec<FoundEvent>,
    /// How far the topic reaches that stopped first for the budget.
    pub(crate) told: Option<u64>,
    /// Events are missing, the last of them here.
    pub(crate) missed: Option<u64>,
    /// The end: the events are those up to it.
    pub(crate) end: Option<End>,
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// There is something new.
    Ready,
    Registered,
}

impl Batch {
    /// Leaves out what is behind an end.
    fn end_at(&mut self, end: Option<End>) {
        self.end = end;
        if let Some(at) = end.map(End::at) {
            self.events.retain(|event| event.sequence <= at);
            self.told = self.told.filter(|&told| told < at);
        }
    }
}

impl Cursors {
    /// To a client that is new, nothing is missing of what it would wish for. To any other, all that is gone after its cursor.
    pub(crate) fn new(topics: Vec<Hold>, is_new: Option<Query>) -> Self {
        let seat = |topic: Hold| {
            let known = is_new.map_or(0, |wish| topic.lock().missed_through(wish));
            TopicCursor { topic, acked_gap: known, ticket: Ticket::default(), reader: 0 }
        };
        Self(match <[_; 1]>::try_from(topics) {
            Ok([topic]) => Held::One(seat(topic)),
            Err(topics) => Held::Several(topics.into_iter().map(seat).collect()),
        })
    }

    /// Returns whether there is an event that a new reader wishes for, or one that is missing to one that is not new.
    pub(crate) fn has_any(&self, wish: Query, is_new: bool) -> bool {
        self.all().iter().any(|seat| seat.topic.lock().has_any(wish, is_new))
    }

    fn all(&self) -> &[TopicCursor] {
        match &self.0 {
            Held::One(seat) => slice::from_ref(seat),
            Held::Several(seats) => seats,
        }
    }

    fn all_mut(&mut self) -> &mut [TopicCursor] {
        match &mut self.0 {
            Held::One(seat) => slice::from_mut(seat),
            Held::Several(seats) => seats,
        }
    }

    /// The name of one of the topics.
    pub(crate) fn topic(&self, seat: u32) -> Option<&Arc<str>> {
        self.all().get(seat as usize).map(|seat| seat.topic.name())
    }

    /// What it is in each topic, for somebody who can tell that it is nobody there any more.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Arc<TopicShared>, usize)> {
        self.all().iter().map(|seat| (&*seat.topic, seat.reader as usize))
    }

    pub(crate) fn join(&mut self, core: &Core, era: &Epoch, cursor: u64, member: Option<&Arc<str>>) {
        for seat in self.all_mut() {
            let mut state = seat.topic.lock();
            // Asked under the lock: of a history that is over, the cursor says nothing of the topic.
            let cursor = if core.is_current(era) { cursor } else { 0 };
            seat.reader = u32::try_from(state.readers.join(cursor)).unwrap_or(u32::MAX);
            state.members.join(member);
            drop(state);
            seat.topic.arrivals.notify_waiters();
        }
    }

    /// Takes the places of another, which is in the same topics, in the same order.
    pub(crate) fn take_places(&mut self, other: &mut Self) {
        for (seat, other) in self.all_mut().iter_mut().zip(other.all_mut()) {
            (seat.ticket, seat.reader) = (mem::take(&mut other.ticket), other.reader);
        }
    }

    /// Leaves all topics, those that it had joined and those that it had only found.
    pub(crate) fn leave(&mut self, core: &Core, has_joined: bool, member: Option<&Arc<str>>) {
        let now = core.now();
        for seat in self.all() {
            seat.topic.read_at(now);
            if has_joined {
                seat.leave(member);
            }
        }
        self.0 = Held::Several(Box::default());
    }

    /// A slice of what the subscribers of the one topic share, if this one is within it.
    pub(crate) fn shared(&self, core: &Core, era: &Epoch, cursor: u64) -> SharedRead {
        let Held::One(seat) = &self.0 else { return SharedRead::Fallback };
        let now = core.now();
        let mut state = seat.topic.lock();
        state.expire(now);
        let producers = seat.advance(&mut state, cursor, core.is_current(era));
        let is_new = state.has_news(cursor);
        // A slice may reach beyond an end.
        let is_behind = state.log.evicted_through() > cursor.max(seat.acked_gap) || state.closings.last() > cursor;
        let slice = if is_behind { None } else { state.frames.after(cursor) };
        drop(state);
        producers.into_iter().for_each(Waker::wake);
        match slice {
            Some(slice) => SharedRead::Frame(slice),
            None if is_new => SharedRead::Fallback,
            None => SharedRead::UpToDate,
        }
    }

    /// What each topic has of what is wished for.
    pub(crate) fn look(&mut self, core: &Core, era: &Epoch, wish: Query, budget: Budget, came: u64) -> Batch {
        let now = core.now();
        let mut look = Batch { events: Vec::new(), told: None, missed: None, end: None };
        let mut closed = Vec::new();
        for (number, seat) in (0..).zip(self.all_mut()) {
            let mut state = seat.topic.lock();
            state.expire(now);
            let producers = seat.advance(&mut state, wish.after, core.is_current(era));
            let missed = state.missed_through(wish);
            if missed > wish.after.max(seat.acked_gap) {
                look.missed = look.missed.max(Some(missed));
            }
            let told = state.read(Query { seat: number, ..wish }, budget, era.prefix(), &mut look.events);
            // Most were never closed, and one that is open has no end.
            if closed.len() == number as usize && state.closings.last() > 0 {
                closed.push(state.closings.beyond(wish.after));
            }
            drop(state);
            producers.into_iter().for_each(Waker::wake);
            look.told = [look.told, told].into_iter().flatten().min();
        }
        if closed.len() == self.all().len() {
            // An end within what is missing is gone, too.
            let after = wish.after.max(look.missed.unwrap_or(0).saturating_sub(1));
            let end = closings::first_end(&closed, after, wish.through, came);
            // Within the present, all topics stay closed up to where it ends, if they are, and all of it is given.
            let is_present = wish.selection == Selection::Snapshot;
            look.end_at(end.map(|end| if is_present { end.moved_to(wish.through) } else { end }));
        }
        look
    }

    /// Leaves a waker in each topic, under the lock under which nothing new was found.
    pub(crate) fn wait(
        &mut self,
        core: &Core,
        era: &Epoch,
        lane: &Arc<TopicQueue>,
        cursor: u64,
        cx: &Context<'_>,
    ) -> Result<WaitOutcome, LaneClosed> {
        for seat in self.all_mut() {
            if seat.wait(core, era, lane, cursor, cx)? == WaitOutcome::Ready {
                return Ok(WaitOutcome::Ready);
            }
        }
        Ok(WaitOutcome::Registered)
    }
}

impl Cursors {
    /// The topics are of another history, of which the client has nothing.
    pub(crate) fn renew(&mut self) {
        self.all_mut().iter_mut().for_each(|seat| seat.acked_gap = 0);
    }
}

impl TopicCursor {
    fn wait(
        &mut self,
        core: &Core,
        era: &Epoch,
        lane: &Arc<TopicQueue>,
        cursor: u64,
        cx: &Context<'_>,
    ) -> Result<WaitOutcome, LaneClosed> {
        // Cloned before the lock, and what it replaces is dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.topic.lock();
        let is_now = core.is_current(era);
        let producers = self.advance(&mut state, cursor, is_now);
        // Under the topic's lock, what is in the topic is below the watermark. What is not cannot be read yet: one that did
        // not wait for it would look again and again.
        let has_news = state.has_news(cursor) && core.watermark() > cursor;
        let waits = if has_news || !is_now { WaitOutcome::Ready } else { WaitOutcome::Registered };
        let replaced = match waits {
            WaitOutcome::Registered => state.waiters.register(lane, &mut self.ticket, waker),
            WaitOutcome::Ready => Ok(Some(waker)),
        };
        drop(state);
        producers.into_iter().for_each(Waker::wake);
        replaced.map(|_| waits)
    }

    /// Under the topic's lock. A cursor of a history that is over says nothing of the topic.
    fn advance(&self, state: &mut TopicState, cursor: u64, is_now: bool) -> Vec<Waker> {
        if is_now { state.readers.advance(self.reader as usize, cursor) } else { Vec::new() }
    }

    fn leave(&self, member: Option<&Arc<str>>) {
        let mut state = self.topic.lock();
        let waker = state.waiters.clear(self.ticket);
        let producers = state.readers.leave(self.reader as usize);
        if producers.is_some() {
            state.members.leave(member);
        }
        drop(state);
        drop(waker);
        producers.into_iter().flatten().for_each(Waker::wake);
        self.topic.arrivals.notify_waiters();
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter().map(|seat| seat.topic.name())).finish()
    }
}
