//! The reader of a subscription: its cursor, and the decision which events and notices come next.
//!
//! Pure. The reader says what to read ([`Reader::query`]) and turns what was found into an output ([`Reader::accept`]).
//!
//! A gap is found by the first read that finds something evicted, and its end is fixed then. What is kept up to the end is
//! delivered first, and then the gap, whose id is its end. So a client that is cut anywhere comes back with an id below which
//! no notice is pending. What is evicted meanwhile beyond the end belongs to a further gap.
//!
//! The end of a subscription is the first position at which all its topics are closed; nothing beyond is read. If that
//! position is forgotten, a gap is delivered in place of the end.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    cold::{ColdState, PendingGap},
    cursors::Batch,
    output::{Notice, NoticeAt, Output},
    replica_wait::ReplicaWait,
    request::{LagPolicy, Subscribe},
};
use crate::{
    hub::{
        position::{Epoch, Position},
        state::{
            closings::End,
            found,
            found::{Budget, FoundEvent, Ids},
            frames::Slice,
            read::{Floor, Query, Selection},
        },
    },
    negotiate::last_event_id::LastEventId,
    observe::Reason,
};

/// The reader of a subscription.
pub(super) struct Reader {
    /// The epoch that the cursor is of.
    epoch: Arc<Epoch>,
    /// Invariant: everything up to here was delivered, was reported as missing, or lies within the pending gap.
    cursor: u64,
    /// In a box, which most subscriptions drop once they have read everything.
    cold: Option<Box<ColdState>>,
    lag: LagPolicy,
    phase: Phase,
}

enum Phase {
    /// Created but not polled yet, so not registered with any topic.
    Created,
    Running {
        /// Set once an event was delivered, or all there was: from then on the subscription may lag.
        has_read: bool,
    },
    Ended(Reason),
}

/// The events that a read has found, merged and in order.
struct Found {
    events: Vec<FoundEvent>,
    ids: Ids,
    /// The sequence up to which the events are complete.
    through: u64,
    /// The sequence of the last event that is missing.
    missed_through: Option<u64>,
    /// The end, beyond which there are no events.
    end: Option<End>,
}

impl Reader {
    pub(super) fn new(epoch: Arc<Epoch>, cursor: u64, lag: LagPolicy, cold: ColdState) -> Self {
        Self { epoch, cursor, cold: Some(Box::new(cold)), lag, phase: Phase::Created }
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn lag(&self) -> LagPolicy {
        self.lag
    }

    pub(super) fn member(&self) -> Option<&Arc<str>> {
        self.cold.as_ref().and_then(|cold| cold.member.as_ref())
    }

    pub(super) fn end_reason(&self) -> Option<Reason> {
        match self.phase {
            Phase::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// Returns whether the first poll has not come yet.
    pub(super) fn is_created(&self) -> bool {
        matches!(self.phase, Phase::Created)
    }

    /// Begins to read. Returns the notice to deliver first.
    pub(super) fn start(&mut self) -> Option<Notice> {
        self.phase = Phase::Running { has_read: false };
        self.cold.as_mut().and_then(|cold| cold.first_notice.take())
    }

    /// Ends the reading.
    pub(super) fn end(&mut self, reason: Reason) {
        self.phase = Phase::Ended(reason);
    }

    /// Returns the wait for the replica, if there may be one.
    pub(super) fn replica_wait(&self) -> Option<&ReplicaWait> {
        self.cold.as_ref().map(|cold| &cold.replica_wait)
    }

    pub(super) fn replica_wait_mut(&mut self) -> Option<&mut ReplicaWait> {
        self.cold.as_mut().map(|cold| &mut cold.replica_wait)
    }

    pub(super) fn replica_wait_or_new(&mut self) -> &mut ReplicaWait {
        &mut self.cold.get_or_insert_default().replica_wait
    }

    /// Takes the options to subscribe with again after a change of the epoch, to resume after what the client has.
    pub(super) fn take_request(&mut self) -> Option<Subscribe> {
        let had = self.client_position(self.cursor).map(Position::id);
        let mut request = *self.cold.as_mut()?.request.take()?;
        // A client without an id of its own has one by now, so it gets a gap.
        request.after = had.as_ref().and_then(LastEventId::from_id).or(request.after);
        Some(request)
    }

    /// Moves on to another epoch, of which the client has nothing.
    pub(super) fn begin_epoch(&mut self, epoch: Arc<Epoch>) {
        let had = self.client_position(self.cursor);
        self.epoch = epoch;
        self.cursor = 0;
        let cold = self.cold.get_or_insert_default();
        (cold.deferred, cold.pending_gap, cold.foreign_id) = (None, None, Some(had));
        (cold.snapshot_through, cold.joined_at) = (0, 0);
        (cold.ends_ignored_through, cold.end) = (0, None);
        self.phase = Phase::Running { has_read: false };
    }

    /// Takes the event that was deferred for a gap before it.
    #[inline]
    pub(super) fn take_deferred(&mut self) -> Option<Output> {
        let deferred = self.cold.as_mut()?.deferred.take()?;
        let sequence = deferred.sequence;
        self.deliver(vec![deferred], Ids::Own, sequence)
    }

    pub(super) fn has_pending_gap(&self) -> bool {
        self.pending_gap().is_some()
    }

    /// Returns whether frames that subscribers share have what this reader reads next. It must have no notice to deliver:
    /// frames have every event, and nothing in between.
    pub(super) fn reads_frames(&self, budget: Budget) -> bool {
        self.selection() == Selection::All && !budget.is_one() && self.floor().is_none()
    }

    /// Returns the output of a shared frame that was read at this time, which is delivered with that.
    pub(super) fn accept_frame(&mut self, slice: Slice, at: Instant) -> Output {
        self.advance(slice.through, true);
        Output::Frame(slice, at)
    }

    /// Returns what to read next, and up to where ends that are over are ignored.
    pub(super) fn query(&self, watermark: u64) -> (Query, u64) {
        let through = match () {
            () if self.is_at_end() => self.cursor,
            () if self.is_in_snapshot() => self.snapshot_through(),
            () => watermark,
        };
        let (joined_at, ends_ignored_through) =
            self.cold.as_ref().map_or((0, 0), |cold| (cold.joined_at, cold.ends_ignored_through));
        let floor = self.floor().unwrap_or_default();
        let query =
            Query { selection: self.selection(), after: self.cursor, through, floor, joined_at, topic_index: 0 };
        (query, ends_ignored_through)
    }

    /// Returns the output for what a query has found, with a notice if there is one to deliver.
    pub(super) fn accept(
        &mut self,
        query: Query,
        batch: Batch,
        budget: Budget,
        first: Option<Notice>,
    ) -> Option<Output> {
        let found = self.merge(query, batch, budget);
        let end = found.end;
        let gap = match (self.pending_gap(), found.missed_through) {
            (None, Some(_)) if first.is_none() && self.disconnects() => return Some(Output::Ended(Reason::Lagged)),
            (None, missed) => missed.map(|to| PendingGap { to, found_at: self.cursor }),
            (pending, _) => pending,
        };
        let output = match (first, gap) {
            (Some(notice), _) => Some(self.deliver_first_notice(notice, found, budget)),
            (None, Some(gap)) => self.deliver_gap(gap, found, budget),
            (None, None) => self.deliver(found.events, found.ids, found.through),
        };
        self.note_end(end, output.as_ref().and_then(Output::gap));
        if output.is_none() && !self.has_pending_gap() {
            return self.take_end();
        }
        output
    }

    /// Returns the end, if the reader has reached it. If the end is forgotten, returns a gap, and continues beyond it.
    pub(super) fn take_end(&mut self) -> Option<Output> {
        let cold = self.cold.as_mut()?;
        let End::Forgotten { through, .. } = cold.end? else { return Some(Output::Ended(Reason::TopicClosed)) };
        (cold.end, cold.ends_ignored_through) = (None, through + 1);
        if self.disconnects() {
            return Some(Output::Ended(Reason::Lagged));
        }
        let from = self.client_position(self.cursor);
        let gap = NoticeAt { kind: Notice::Gap, at: Some(self.cursor), from, events_before: 0 };
        Some(Output::Events { notice: Some(gap), events: Vec::new(), ids: Ids::Own })
    }

    /// Notes that everything was read, and drops the cold state that is not needed from then on.
    #[inline]
    pub(super) fn caught_up(&mut self, is_replica: bool) {
        self.advance(self.cursor, true);
        let Some(cold) = &mut self.cold else { return };
        if self.lag == LagPolicy::Disconnect && !is_replica {
            // From now on the subscription is disconnected instead of getting a gap.
            cold.resumed_after = None;
        }
        if cold.ends_ignored_through <= self.cursor {
            cold.ends_ignored_through = 0;
        }
        // A subscription that reads every event does not need to know when it joined.
        if self.lag != LagPolicy::Conflate && cold.is_empty() {
            self.cold = None;
        }
    }

    fn merge(&self, query: Query, mut batch: Batch, budget: Budget) -> Found {
        let through = batch.end.map_or(query.through, End::at);
        let cut = found::merge(&mut batch.events, batch.truncated_at, budget, self.epoch.prefix());
        let ids = match self.is_in_snapshot() {
            true => Ids::Present { last: cut.is_none().then_some(through) },
            false => Ids::Own,
        };
        let through = cut.unwrap_or(through).max(self.cursor);
        Found { events: batch.events, ids, through, missed_through: batch.missed_through, end: batch.end }
    }

    /// Delivers the greeting, or the gap of an id that is no position, with an id after which no notice is pending.
    fn deliver_first_notice(&mut self, kind: Notice, found: Found, budget: Budget) -> Output {
        let Found { mut events, ids, through, missed_through, .. } = found;
        let next = events.first().map_or(through, |first| first.sequence - 1);
        let (at, pending) = match kind {
            // The gap ends here: what is evicted beyond is a further gap.
            Notice::Gap => (Some(next), missed_through.filter(|&missed| missed > next)),
            // A client that is cut after the greeting does not have the snapshot, so it has to come back without an id.
            Notice::Greeting if ids != Ids::Own && !events.is_empty() => (None, None),
            // A client that is cut after the greeting has not got the gap.
            Notice::Greeting => (Some(missed_through.map_or(next, |_| self.cursor)), missed_through),
        };
        let from = self.client_position(self.cursor);
        if let Some(to) = pending {
            self.cold.get_or_insert_default().pending_gap = Some(PendingGap { to, found_at: self.cursor });
        }
        let cursor = if budget.is_one() {
            // What follows is read again by the next poll.
            events.clear();
            at.unwrap_or(self.cursor)
        } else {
            pending.inspect(|&to| truncate_after(&mut events, to)).map_or(through, |to| through.min(to))
        };
        self.advance(cursor, !events.is_empty());
        Output::Events { notice: Some(NoticeAt { kind, at, from, events_before: 0 }), events, ids }
    }

    /// Delivers the kept events up to the end of a gap, then the gap, and then the events after it.
    fn deliver_gap(&mut self, gap: PendingGap, found: Found, budget: Budget) -> Option<Output> {
        let PendingGap { to, found_at } = gap;
        let Found { mut events, ids, through, missed_through, .. } = found;
        let events_before = events.partition_point(|event| event.sequence <= to);
        let is_one_before = budget.is_one() && events_before > 0;
        if through < to || is_one_before {
            self.cold.get_or_insert_default().pending_gap = Some(gap);
            let through = if is_one_before { events[0].sequence } else { through };
            return self.deliver(events, ids, through);
        }
        let mut cursor = through;
        let mut deferred = None;
        if missed_through.is_some_and(|missed| missed > to) {
            // A further gap: it comes before the events after this one.
            truncate_after(&mut events, to);
            cursor = to;
        } else if budget.is_one() {
            // Deferred, as reading it again could find a further gap: a slow reader would get gap after gap, and no event.
            deferred = events.pop();
            cursor = to;
        }
        if deferred.is_some() || self.cold.is_some() {
            let cold = self.cold.get_or_insert_default();
            (cold.pending_gap, cold.deferred) = (None, deferred);
        }
        self.advance(cursor, !events.is_empty());
        let notice = NoticeAt { kind: Notice::Gap, at: Some(to), from: self.client_position(found_at), events_before };
        Some(Output::Events { notice: Some(notice), events, ids })
    }

    fn deliver(&mut self, events: Vec<FoundEvent>, ids: Ids, through: u64) -> Option<Output> {
        self.advance(through, !events.is_empty());
        Output::events(events, ids)
    }

    /// Notes the end once everything up to it was delivered or is deferred. The gap of a forgotten end is delivered once.
    fn note_end(&mut self, end: Option<End>, gap: Option<u64>) {
        let deferred = self.cold.as_ref().and_then(|cold| cold.deferred.as_ref());
        let at = deferred.map_or(self.cursor, |deferred| deferred.sequence);
        if let Some(end) = end.filter(|end| end.at() == at) {
            self.cold.get_or_insert_default().end = Some(end);
        }
        let Some(cold) = self.cold.as_mut().filter(|_| gap.is_some()) else { return };
        if let Some(End::Forgotten { through, .. }) = cold.end.filter(|end| Some(end.at()) == gap) {
            (cold.end, cold.ends_ignored_through) = (None, through + 1);
        }
    }

    /// Returns the position that the client has: the one it resumed after or, without an id, the given one. Returns `None` if
    /// the client sent an id that is no position.
    fn client_position(&self, found_at: u64) -> Option<Position> {
        let cold = self.cold.as_ref();
        let resumed_after = || cold.and_then(|cold| cold.resumed_after).unwrap_or(found_at);
        cold.and_then(|cold| cold.foreign_id).unwrap_or_else(|| Some(self.epoch.position(resumed_after())))
    }

    fn selection(&self) -> Selection {
        if self.is_in_snapshot() { Selection::Snapshot } else { self.lag.selection() }
    }

    /// Returns the hidden part of the past, as long as it can make a difference.
    fn floor(&self) -> Option<Floor> {
        let (floor, through) = self.cold.as_ref()?.floor?;
        (self.cursor < through).then_some(floor)
    }

    fn pending_gap(&self) -> Option<PendingGap> {
        self.cold.as_ref()?.pending_gap
    }

    fn snapshot_through(&self) -> u64 {
        self.cold.as_ref().map_or(0, |cold| cold.snapshot_through)
    }

    fn is_in_snapshot(&self) -> bool {
        self.snapshot_through() > self.cursor
    }

    /// Returns whether everything up to an end was delivered or is deferred.
    fn is_at_end(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.end.is_some())
    }

    /// Returns whether the subscription ends if it lags. A subscription can lag only after it has delivered something, so
    /// every reconnect makes progress.
    fn disconnects(&self) -> bool {
        self.lag == LagPolicy::Disconnect && matches!(self.phase, Phase::Running { has_read: true })
    }

    fn advance(&mut self, through: u64, has_delivered: bool) {
        self.cursor = through;
        if let Phase::Running { has_read } = &mut self.phase {
            *has_read |= has_delivered;
        }
    }
}

impl LagPolicy {
    pub(super) fn selection(self) -> Selection {
        match self {
            Self::Conflate => Selection::Conflated,
            Self::Disconnect | Self::Skip => Selection::All,
        }
    }
}

fn truncate_after(events: &mut Vec<FoundEvent>, to: u64) {
    events.truncate(events.partition_point(|event| event.sequence <= to));
}
