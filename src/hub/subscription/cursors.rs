//! What a subscription has in each of its topics.
//!
//! Each topic's lock is taken for itself.

use std::{fmt, mem, slice, sync::Arc, task::Context};

use crate::hub::{
    core::Core,
    position::Epoch,
    state::{
        TopicQueue, TopicShared,
        closings::{self, End},
        found::{Budget, FoundEvent},
        hold::Hold,
        read::{Query, ReadContext, Selection, SharedRead, WaitOutcome},
        waiters::{QueueClosed, Registration, Ticket},
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
            let known = is_new.map_or(0, |wish| topic.missed_through(wish));
            TopicCursor { topic, acked_gap: known, ticket: Ticket::default(), reader: 0 }
        };
        Self(match <[_; 1]>::try_from(topics) {
            Ok([topic]) => Held::One(seat(topic)),
            Err(topics) => Held::Several(topics.into_iter().map(seat).collect()),
        })
    }

    /// Returns whether there is an event that a new reader wishes for, or one that is missing to one that is not new.
    pub(crate) fn has_any(&self, wish: Query, is_new: bool) -> bool {
        self.all().iter().any(|seat| seat.topic.has_any(wish, is_new))
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
            let (reader, wakes) = seat.topic.join(cursor, || core.is_current(era), member);
            seat.reader = u32::try_from(reader).unwrap_or(u32::MAX);
            wakes.wake();
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
        let (reader, is_current) = (seat.reader as usize, || core.is_current(era));
        let (read, wakes) = seat.topic.read_shared(reader, cursor, seat.acked_gap, core.now(), is_current);
        wakes.wake();
        read
    }

    /// What each topic has of what is wished for.
    pub(crate) fn look(&mut self, core: &Core, era: &Epoch, wish: Query, budget: Budget, came: u64) -> Batch {
        let now = core.now();
        let mut look = Batch { events: Vec::new(), told: None, missed: None, end: None };
        let mut closed = Vec::new();
        for (number, seat) in (0..).zip(self.all_mut()) {
            let context = ReadContext { now, prefix: era.prefix(), is_current: || core.is_current(era) };
            let query = Query { seat: number, ..wish };
            let (read, wakes) = seat.topic.read(seat.reader as usize, query, budget, context, &mut look.events);
            wakes.wake();
            if read.missed_through > wish.after.max(seat.acked_gap) {
                look.missed = look.missed.max(Some(read.missed_through));
            }
            // Most were never closed, and one that is open has no end.
            closed.extend(read.closings);
            look.told = [look.told, read.truncated_at].into_iter().flatten().min();
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
    ) -> Result<WaitOutcome, QueueClosed> {
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
    ) -> Result<WaitOutcome, QueueClosed> {
        let registration = Registration { queue: lane, ticket: &mut self.ticket, waker: cx.waker().clone() };
        let (reader, is_current) = (self.reader as usize, || core.is_current(era));
        let (outcome, wakes) = self.topic.wait(reader, cursor, &core.watermark, is_current, registration);
        wakes.wake();
        outcome
    }

    fn leave(&self, member: Option<&Arc<str>>) {
        self.topic.leave(self.reader as usize, self.ticket, member).wake();
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter().map(|seat| seat.topic.name())).finish()
    }
}
