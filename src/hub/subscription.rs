//! A subscriber: a cursor into the logs of its topics.
//!
//! It has no queue. What it is given is taken from the logs when it is polled, and if there is nothing a waker is left in
//! each topic, under the same lock under which nothing was found.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use super::{
    begin::{Begin, Notice},
    core::Core,
    error::SubscribeError,
    joined::Slice,
    pick::{Take, Wish},
    picked::{self, Budget, Picked},
    pump::{Lanes, TopicLane},
    subscribe::{Lag, Subscribe},
    topic_state::TopicShared,
    waiters::{Dead, Ticket},
};
use crate::Reason;

/// The events of one or several topics, from a position on; made by [`Hub::subscribe`](super::Hub::subscribe).
///
/// It is what [`Events`](crate::Events) are made of: `Events::from(subscription)`. As a
/// [`Stream`](futures_core::Stream) it gives [`Update`](super::Update)s, for anything else that sends them on.
///
/// Each topic has 32 bytes for it while it runs, and it has 32 for each topic. Dropping it leaves all of them.
#[must_use = "nothing comes unless it is polled"]
pub struct Subscription {
    core: Arc<Core>,
    seats: Box<[Seat]>,
    /// Everything up to here was given, or is told to be missing.
    cursor: u64,
    lag: Lag,
    phase: Phase,
    lane: Option<Arc<TopicLane>>,
    member: Option<Arc<str>>,
}

/// What it has in a topic.
struct Seat {
    topic: Arc<TopicShared>,
    /// Up to here the client knows that it has missed this topic's events, if it has.
    known: u64,
    ticket: Ticket,
    reader: u32,
}

enum Phase {
    /// It was not polled yet, and is nobody. What to tell first.
    New {
        notice: Option<Notice>,
        present_through: u64,
    },
    Runs {
        /// It was given an event, or all there was: from here on it may be too slow.
        has_read: bool,
        /// Up to here only the present is given.
        present_through: u64,
    },
    Ended(Reason),
}

/// What a poll gives.
pub(crate) enum Given {
    /// A notice, with the position just before the events, and events.
    Events {
        notice: Option<(Notice, u64)>,
        events: Vec<Picked>,
    },
    /// Events as they stand on the wire, shared.
    Shared(Slice),
    Ended(Reason),
}

/// What the subscribers of a topic share.
enum Shared {
    Slice(Slice),
    /// There is nothing new at all.
    Nothing,
    /// There may be something elsewhere.
    Other,
}

/// What one look at all topics found.
struct Look {
    events: Vec<Picked>,
    told: Option<u64>,
    missed: Option<u64>,
    through: u64,
}

impl Subscription {
    pub(crate) fn new(core: &Arc<Core>, subscribe: Subscribe) -> Result<Self, SubscribeError> {
        let Subscribe { mut topics, start, lag, after, member } = subscribe;
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() {
            return Err(SubscribeError::NoTopic);
        }
        if member.as_ref().is_some_and(|member| member.len() > MAX_MEMBER) {
            return Err(SubscribeError::MemberTooLong(MAX_MEMBER));
        }
        let (topics, head) = core.subscribe(&topics)?;
        let begin = Begin::new(after.as_ref().map(|id| id.as_bytes()), core.position(head), start);
        let seats = topics.into_iter().map(|topic| {
            // Who has nothing, or is told so in any case, has missed nothing else.
            let known = if begin.has_position { 0 } else { topic.lock().log.evicted_through() };
            Seat { topic, known, ticket: Ticket::default(), reader: 0 }
        });
        Ok(Self {
            core: Arc::clone(core),
            seats: seats.collect(),
            cursor: begin.cursor,
            lag,
            phase: Phase::New { notice: begin.notice, present_through: begin.present_through },
            lane: None,
            member,
        })
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Why it gives nothing any more, once it does not: [`Reason::Lagged`] or [`Reason::TopicClosed`].
    #[must_use]
    pub fn ended(&self) -> Option<Reason> {
        match self.phase {
            Phase::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// The name of the topic that an event is from.
    pub(crate) fn topic_of(&self, event: &Picked) -> Option<&Arc<str>> {
        self.seats.get(event.seat as usize).map(|seat| seat.topic.name())
    }

    /// What comes next. The greeting, or the gap, is told once, with the first of it.
    pub(crate) fn poll_given(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Given> {
        let mut notice = match self.phase {
            Phase::Ended(reason) => return Poll::Ready(Given::Ended(reason)),
            Phase::New { notice, present_through } => {
                self.join();
                self.phase = Phase::Runs { has_read: false, present_through };
                notice.filter(|notice| matches!(notice, Notice::Gap { .. }) || self.core.settings.greets())
            }
            Phase::Runs { .. } => None,
        };
        loop {
            if let Some(given) = self.next(budget, &mut notice) {
                return Poll::Ready(given);
            }
            // Whoever finds something new instead of a place to wait looks again.
            if let Some(given) = ready!(self.wait(cx)) {
                return Poll::Ready(given);
            }
        }
    }

    fn next(&mut self, budget: Budget, notice: &mut Option<Notice>) -> Option<Given> {
        match self.shared(budget, notice.is_none()) {
            Shared::Slice(slice) => {
                self.has_read(slice.through, true);
                Some(Given::Shared(slice))
            }
            Shared::Nothing => None,
            Shared::Other => self.read(budget, notice),
        }
    }

    /// Events as they are in the logs, and what there is to be told before them.
    fn read(&mut self, budget: Budget, notice: &mut Option<Notice>) -> Option<Given> {
        let mut look = self.look(budget);
        if let Some(through) = look.missed {
            if self.is_too_slow() {
                return Some(self.end(Reason::Lagged));
            }
            *notice = Some(Notice::gap(*notice, self.core.position(self.cursor), through));
        }
        let cut = picked::merge(&mut look.events, look.told, budget, self.core.prefix());
        let mut cursor = cut.unwrap_or(look.through).max(self.cursor);
        let before = look.events.first().map_or(cursor, |first| first.sequence - 1);
        if notice.is_some() && budget.is_one() {
            // One thing at a time: the event is found again.
            look.events.clear();
            cursor = before;
        }
        self.has_read(cursor, !look.events.is_empty());
        let notice = notice.take().map(|notice| (notice, before));
        (notice.is_some() || !look.events.is_empty()).then_some(Given::Events { notice, events: look.events })
    }

    /// A slice of what the topic's subscribers share, if this one is within it and there is nothing else to say.
    fn shared(&self, budget: Budget, is_quiet: bool) -> Shared {
        let [seat] = &*self.seats else { return Shared::Other };
        if !is_quiet || self.take() != Take::All {
            return Shared::Other;
        }
        let mut state = seat.topic.lock();
        let producers = state.readers.advance(seat.reader as usize, self.cursor);
        let is_new = state.log.last() > self.cursor;
        let is_behind = state.log.evicted_through() > self.cursor.max(seat.known);
        let slice = if is_behind || budget.is_one() { None } else { state.joined.after(self.cursor) };
        drop(state);
        producers.into_iter().for_each(Waker::wake);
        match slice {
            Some(slice) => Shared::Slice(slice),
            None if is_new => Shared::Other,
            None => Shared::Nothing,
        }
    }

    /// What each topic has for it.
    fn look(&mut self, budget: Budget) -> Look {
        let now = self.core.now();
        let take = self.take();
        let mut through = self.core.watermark();
        if take == Take::Present {
            through = through.min(self.present_through());
        }
        let mut look = Look { events: Vec::new(), told: None, missed: None, through };
        let (cursor, prefix) = (self.cursor, self.core.prefix());
        for (number, seat) in (0..).zip(&mut *self.seats) {
            let mut state = seat.topic.lock();
            state.expire(now);
            let producers = state.readers.advance(seat.reader as usize, cursor);
            let evicted = state.evicted_through(take);
            if evicted > cursor.max(seat.known) {
                look.missed = look.missed.max(Some(evicted));
                seat.known = evicted;
            }
            let wish = Wish { take, after: cursor, through, seat: number };
            let told = state.pick(wish, budget, prefix, &mut look.events);
            drop(state);
            producers.into_iter().for_each(Waker::wake);
            look.told = [look.told, told].into_iter().flatten().min();
        }
        look
    }

    /// Leaves a waker in each topic, unless there is something new in one, or an end.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<Given>> {
        let mut open = 0;
        for _ in 0..LANES_TRIED {
            let lane = Arc::clone(self.lane.get_or_insert_with(|| Lanes::here(&self.core)));
            match self.wait_in(&lane, cx, &mut open) {
                Ok(true) => return Poll::Ready(None),
                Ok(false) if open == 0 => return Poll::Ready(Some(self.end(Reason::TopicClosed))),
                Ok(false) => {
                    self.has_read(self.cursor, true);
                    return Poll::Pending;
                }
                Err(_) => self.lane = None,
            }
        }
        // The runtime that this is in is going down: whoever publishes wakes.
        let lane = self.core.lanes.without_pump();
        match self.wait_in(&lane, cx, &mut open) {
            Ok(false) => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }

    /// Whether there is something new. Counts the topics that still go on.
    fn wait_in(&mut self, lane: &Arc<TopicLane>, cx: &Context<'_>, open: &mut usize) -> Result<bool, Dead> {
        *open = 0;
        for seat in &mut *self.seats {
            // Cloned before the lock, and what it replaces is dropped after it.
            let waker = cx.waker().clone();
            let mut state = seat.topic.lock();
            if state.log.last() > self.cursor {
                return Ok(true);
            }
            if seat.topic.is_closed() {
                continue;
            }
            *open += 1;
            let replaced = state.waiters.register(lane, &mut seat.ticket, waker);
            drop(state);
            drop(replaced?);
        }
        Ok(false)
    }

    fn take(&self) -> Take {
        match self.lag {
            _ if self.present_through() > self.cursor => Take::Present,
            Lag::Latest => Take::Newest,
            Lag::Disconnect | Lag::Skip => Take::All,
        }
    }

    fn present_through(&self) -> u64 {
        match self.phase {
            Phase::Runs { present_through, .. } => present_through,
            _ => 0,
        }
    }

    /// Only one that has read something since it came can be too slow: so each connection comes ahead.
    fn is_too_slow(&self) -> bool {
        self.lag == Lag::Disconnect && matches!(self.phase, Phase::Runs { has_read: true, .. })
    }

    fn has_read(&mut self, through: u64, something: bool) {
        self.cursor = through;
        if let Phase::Runs { has_read, .. } = &mut self.phase {
            *has_read |= something;
        }
    }

    fn end(&mut self, reason: Reason) -> Given {
        self.leave();
        self.phase = Phase::Ended(reason);
        Given::Ended(reason)
    }

    fn join(&mut self) {
        for seat in &mut *self.seats {
            let mut state = seat.topic.lock();
            seat.reader = u32::try_from(state.readers.join(self.cursor)).unwrap_or(u32::MAX);
            state.members.join(self.member.as_ref());
            drop(state);
            seat.topic.arrivals.notify_waiters();
        }
    }

    fn leave(&mut self) {
        let runs = matches!(self.phase, Phase::Runs { .. });
        for Seat { topic, ticket, reader, .. } in std::mem::take(&mut self.seats) {
            let mut state = topic.lock();
            // Dropped after the lock.
            let mut _waker = None;
            let mut producers = Vec::new();
            if runs {
                _waker = state.waiters.clear(ticket);
                producers = state.readers.leave(reader as usize);
                state.members.leave(self.member.as_ref());
            }
            let is_idle = state.is_idle();
            drop(state);
            producers.into_iter().for_each(Waker::wake);
            topic.arrivals.notify_waiters();
            let name = is_idle.then(|| Arc::clone(topic.name()));
            drop(topic);
            if let Some(name) = name {
                self.core.release(&name);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.seats.iter().map(|seat| seat.topic.name()).collect();
        f.debug_struct("Subscription").field("topics", &topics).field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// The longest value of a member, in bytes.
const MAX_MEMBER: usize = 128;

/// A lane can be dead once, when its runtime is. One that is dead at once is no good.
const LANES_TRIED: usize = 2;
