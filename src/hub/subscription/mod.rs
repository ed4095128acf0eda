//! A subscriber: a cursor into the logs of its topics.
//!
//! It has no queue. What it is given is taken from the logs when it is polled, and if there is nothing a waker is left in
//! each topic, under the same lock under which nothing was found.

pub(crate) mod cold;
pub(crate) mod cursors;
pub(crate) mod detach;
pub(crate) mod output;
pub(crate) mod request;
pub(crate) mod resume;

pub(crate) mod leaving;
pub(crate) mod node;
pub(crate) mod reading;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use self::cold::ColdState;
use self::{
    cursors::Cursors,
    detach::LeftFlag,
    request::{LagPolicy, Start, Subscribe},
    resume::{Notice, StartPoint},
};
use crate::{
    hub::{position::Epoch, settings::Settings},
    observe::Reason,
};

use super::{
    core::{Core, Lookup},
    error::SubscribeError,
    position::Position,
    replica::catch_up::{CatchUpWait, WaitFor},
    state::{
        found::{Budget, FoundEvent, Ids},
        frames::Slice,
        read::{Query, Selection, SharedRead, WaitOutcome},
        waiters::QueueClosed,
    },
    wake::pump::Placement,
};

/// The events of one or several topics, from a position on; made by [`Hub::subscribe`](crate::hub::Hub::subscribe).
///
/// It is what [`Events`](crate::Events) are made of: `Events::from(subscription)`. As a
/// [`Stream`](futures_core::Stream) it gives [`Update`](crate::hub::Update)s, for anything else that sends them on.
///
/// Each topic has 32 bytes for it while it runs, and it has 32 for each topic, in a box where there are several. Dropping it
/// leaves all of them.
#[must_use = "nothing comes unless it is polled"]
pub struct Subscription {
    core: Arc<Core>,
    /// What the cursor is of.
    epoch: Arc<Epoch>,
    cursors: Cursors,
    /// Everything up to here was given, or was told to be missing, or is within the gap that is told next.
    cursor: u64,
    placement: Option<Placement>,
    /// Shared with the handle that gives its places up while the body is not polled. Each stream that runs has it.
    has_left: Option<LeftFlag>,
    /// What most have no need of once they run.
    cold: Option<Box<ColdState>>,
    lag: LagPolicy,
    phase: Phase,
}

enum Phase {
    /// It was not polled yet, and is nobody.
    New,
    /// It was made once more, and is in its topics already.
    Again,
    Runs {
        /// It was given an event, or all there was: from here on it may be too slow.
        has_read: bool,
    },
    Ended(Reason),
}

/// What a poll gives.
pub(crate) enum Output {
    /// Events, and what is told among them.
    Events {
        told: Option<NoticeAt>,
        events: Vec<FoundEvent>,
        ids: Ids,
    },
    /// Events as they stand on the wire, shared.
    Frame(Slice),
    Ended(Reason),
}

/// A notice that is told beside events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoticeAt {
    pub(crate) notice: Notice,
    /// Its id: of a gap, also its end. `None`: what is given after it has the first.
    pub(crate) at: Option<u64>,
    /// The position at which a gap begins, as far as that is known. `None`: what the client came with is no position.
    pub(crate) from: Option<Position>,
    /// The number of the events that come before it.
    pub(crate) before: usize,
}

impl Subscription {
    pub(crate) fn new(core: &Arc<Core>, mut subscribe: Subscribe) -> Result<Self, SubscribeError> {
        check(&core.settings, &mut subscribe)?;
        let Lookup { topics, epoch: era, head, is_synced: has_begun } = core.subscribe(&subscribe.topics)?;
        let (is_fed, lag) = (core.replica.is_some(), subscribe.lag);
        let floor = resume::floor(&subscribe, era.position(head), is_fed, core.now());
        let begin = StartPoint::new(&subscribe, era.position(head), floor, is_fed);
        let is_bounded = subscribe.is_bounded();
        let waiting = match &core.replica {
            Some(_) if !has_begun || !knows_keys(core, &subscribe) => {
                Some(CatchUpWait::new(WaitFor::FirstSync(subscribe.clone())))
            }
            // What it has had already may have been under way when this client came.
            Some(fed) if begin.cursor > head => {
                Some(CatchUpWait::new(WaitFor::Position { times: fed.sync_count() + 2 }))
            }
            _ => None,
        };
        let seats = Cursors::new(topics, begin.is_new.then(|| Query::of_new(lag.take(), floor)));
        let take = if begin.snapshot_through > 0 { Selection::Snapshot } else { lag.take() };
        let wish =
            Query { selection: take, after: begin.cursor, through: head, floor, came_at: begin.joined_at, seat: 0 };
        // A client without an event to come has been told of the ends that there are: it begins behind them.
        let has_any = begin.cursor < head && seats.has_any(wish, begin.is_new);
        let cursor = if has_any { begin.cursor } else { begin.cursor.max(head) };
        Ok(Self {
            core: Arc::clone(core),
            epoch: era,
            cursors: seats,
            cursor,
            placement: None,
            has_left: None,
            cold: Some(Box::new(ColdState {
                first: begin.first_notice,
                foreign: begin.foreign_id,
                came_with: (!begin.is_new).then_some(begin.cursor),
                present_through: begin.snapshot_through,
                floor: is_bounded.then(|| (floor, floor.sequence.max(head))),
                asked: (is_bounded && is_fed).then(|| Box::new(subscribe.clone())),
                came_at: begin.joined_at,
                over_at: if has_any { head } else { 0 },
                waiting,
                member: subscribe.member,
                ..ColdState::default()
            })),
            lag,
            phase: Phase::New,
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.core.settings
    }

    pub(crate) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Returns the position that the client had when it came, or, if it came without an id, when a gap was found here.
    /// `None`: what it sent is no position.
    fn had(&self, found_at: u64) -> Option<Position> {
        let aside = self.cold.as_ref();
        let came_with = || aside.and_then(|aside| aside.came_with).unwrap_or(found_at);
        aside.and_then(|aside| aside.foreign).unwrap_or_else(|| Some(self.epoch.position(came_with())))
    }

    /// Why it gives nothing any more, once it does not: [`Reason::Lagged`] or [`Reason::TopicClosed`].
    #[must_use]
    pub fn end_reason(&self) -> Option<Reason> {
        match self.phase {
            Phase::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// The name of the topic that an event is from.
    pub(crate) fn topic_of(&self, event: &FoundEvent) -> Option<&Arc<str>> {
        self.cursors.topic(event.seat)
    }

    /// Polls for what comes next. The greeting, or that the client's id is none, is told first.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Output> {
        if !self.has_begun(cx) {
            return Poll::Pending;
        }
        let mut first = match self.phase {
            Phase::Ended(reason) => return Poll::Ready(Output::Ended(reason)),
            Phase::New | Phase::Again => {
                self.begin().filter(|notice| *notice == Notice::Gap || self.core.settings.greets())
            }
            Phase::Runs { .. } => None,
        };
        loop {
            if self.renew(&mut first) {
                return self.poll_output(cx, budget);
            }
            let given = self.next(budget, &mut first);
            if let Some(Output::Ended(reason)) = given {
                // It has left its topics: there is nothing to go on in.
                return Poll::Ready(Output::Ended(reason));
            }
            if !self.core.is_current(&self.epoch) {
                // It is of nothing any more, and the client is told so.
                continue;
            }
            if let Some(given) = given {
                return Poll::Ready(given);
            }
            // Whoever finds something new instead of a place to wait looks again.
            if let Some(given) = ready!(self.wait(cx)) {
                return Poll::Ready(given);
            }
        }
    }

    /// It comes to its topics, unless it is there. Gives what is to be told first.
    fn begin(&mut self) -> Option<Notice> {
        if !self.has_joined() {
            let member = self.cold.as_ref().and_then(|aside| aside.member.as_ref());
            self.cursors.join(&self.core, &self.epoch, self.cursor, member);
            self.core.presence_changed();
        }
        self.phase = Phase::Runs { has_read: false };
        self.cold.as_mut().and_then(|aside| aside.first.take())
    }

    fn next(&mut self, budget: Budget, first: &mut Option<Notice>) -> Option<Output> {
        if let Some(held) = self.cold.as_mut().and_then(|aside| aside.held.take()) {
            let sequence = held.sequence;
            return self.give(vec![held], Ids::Own, sequence);
        }
        let tells = first.is_some() || self.owed().is_some();
        let at_end = if tells { None } else { self.at_end() };
        if at_end.is_some() {
            return at_end;
        }
        if !tells && self.cursor >= self.core.watermark() {
            // What could be new is above it: no log has to be asked. Most polls are this one, after an event.
            return None;
        }
        let shared = match self.take() {
            // Slices are of events as they come, with nothing to be told between them.
            Selection::All if !tells && !budget.is_one() && self.floor().is_none() => {
                self.cursors.shared(&self.core, &self.epoch, self.cursor)
            }
            _ => SharedRead::Fallback,
        };
        match shared {
            SharedRead::Frame(slice) => {
                self.has_read(slice.through, true);
                Some(Output::Frame(slice))
            }
            SharedRead::UpToDate => None,
            SharedRead::Fallback => self.read(budget, first),
        }
    }

    /// Leaves a waker in each topic, unless there is something new in one.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<Output>> {
        if let (Some(fed), Some(aside)) = (&self.core.replica, &mut self.cold) {
            if let Some(waiting) = &mut aside.waiting {
                waiting.wait(&fed.waiting, cx.waker());
            }
        }
        // What its node did between the look and this has woken nobody.
        if self.is_beyond_log().is_some() {
            return Poll::Ready(None);
        }
        if self.placement.as_mut().is_some_and(|place| !place.is_current()) {
            self.placement = None;
        }
        for _ in 0..LANES_TRIED {
            let place = self.placement.get_or_insert_with(|| Placement::here(&self.core));
            match self.cursors.wait(&self.core, &self.epoch, &place.queue, self.cursor, cx) {
                Ok(waits) => return self.waits(waits),
                Err(QueueClosed { .. }) => self.placement = None,
            }
        }
        // The runtime that this is in is going down: whoever publishes wakes.
        let lane = self.core.wake_queues.without_pump();
        match self.cursors.wait(&self.core, &self.epoch, &lane, self.cursor, cx) {
            Ok(waits) => self.waits(waits),
            Err(QueueClosed { .. }) => Poll::Ready(None),
        }
    }

    fn waits(&mut self, waits: WaitOutcome) -> Poll<Option<Output>> {
        match waits {
            WaitOutcome::Ready => Poll::Ready(None),
            WaitOutcome::Registered => {
                self.has_read(self.cursor, true);
                if self.cold.is_some() {
                    self.settle();
                }
                Poll::Pending
            }
        }
    }

    /// Lets go of what the subscription needs no more once it has read everything.
    fn settle(&mut self) {
        let Some(aside) = &mut self.cold else { return };
        if self.lag == LagPolicy::Disconnect && self.core.replica.is_none() {
            // From here on it is ended instead of being told a gap.
            aside.came_with = None;
        }
        if aside.over_at <= self.cursor {
            aside.over_at = 0;
        }
        // One that takes every event needs not know when it came.
        if self.lag != LagPolicy::Conflate && aside.is_empty() {
            self.cold = None;
        }
    }

    fn take(&self) -> Selection {
        match self.lag {
            _ if self.is_in_present() => Selection::Snapshot,
            lag => lag.take(),
        }
    }

    fn present_through(&self) -> u64 {
        self.cold.as_ref().map_or(0, |aside| aside.present_through)
    }

    /// Returns whether only the present is given still.
    fn is_in_present(&self) -> bool {
        self.present_through() > self.cursor
    }

    fn has_read(&mut self, through: u64, something: bool) {
        self.cursor = through;
        if let Phase::Runs { has_read } = &mut self.phase {
            *has_read |= something;
        }
    }
}

/// Sorts the topics and checks the request against the limits of the hub.
fn check(settings: &Settings, subscribe: &mut Subscribe) -> Result<(), SubscribeError> {
    subscribe.topics.sort_unstable();
    subscribe.topics.dedup();
    if subscribe.topics.is_empty() {
        return Err(SubscribeError::NoTopic);
    }
    let limit = settings.topics_per_subscription;
    if subscribe.topics.len() > limit {
        return Err(SubscribeError::TooManyTopics(limit));
    }
    if subscribe.member.as_ref().is_some_and(|member| member.len() > MAX_MEMBER) {
        return Err(SubscribeError::MemberTooLong(MAX_MEMBER));
    }
    Ok(())
}

/// Returns whether the keys that this subscriber is given are known. If not, they are asked for.
fn knows_keys(core: &Core, subscribe: &Subscribe) -> bool {
    let needs_keys = subscribe.start == Start::Snapshot || subscribe.lag == LagPolicy::Conflate;
    !needs_keys || core.knows_keys(subscribe.topics.iter())
}

impl LagPolicy {
    fn take(self) -> Selection {
        match self {
            Self::Conflate => Selection::Conflated,
            Self::Disconnect | Self::Skip => Selection::All,
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topics", &self.cursors)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// The longest value of a member, in bytes.
const MAX_MEMBER: usize = 128;

/// A lane can be dead once, when its runtime is. One that is dead at once is no good.
const LANES_TRIED: usize = 2;
