//! The subscription: a cursor into the logs of its topics.
//!
//! A subscription has no queue. Its output is taken from the logs when it is polled. If there is none, a waker is registered
//! in each topic, under the lock under which nothing was found.
//!
//! The subscription is composed of a [`Reader`], which decides what comes next, a [`Membership`] in its topics, and a
//! [`ReplicaWait`](replica_wait::ReplicaWait) for the replica of the node.

pub(crate) mod cold;
pub(crate) mod cursors;
pub(crate) mod detach;
pub(crate) mod membership;
pub(crate) mod output;
pub(crate) mod reader;
pub(crate) mod replica_wait;
pub(crate) mod request;
pub(crate) mod resume;
pub(crate) mod update;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use self::{
    cold::ColdState,
    cursors::Cursors,
    detach::DetachHandle,
    membership::Membership,
    output::{Notice, Output},
    reader::Reader,
    replica_wait::{ReplicaState, ReplicaWait},
    request::{LagPolicy, Subscribe},
    resume::StartPoint,
};
use super::{
    core::{Core, Lookup},
    error::SubscribeError,
    replica::catch_up::WaitFor,
    settings::Settings,
    state::{
        found::{Budget, FoundEvent},
        read::{Query, Selection, SharedRead, WaitOutcome},
    },
};
use crate::observe::Reason;

/// The events of one or several topics from a position on; created by [`Hub::subscribe`](crate::hub::Hub::subscribe).
///
/// Convert it into [`Events`](crate::Events) with `Events::from(subscription)` to send it as an event stream. As a
/// [`Stream`](futures_core::Stream) it yields [`Update`](crate::hub::Update)s, for any other use.
///
/// A running subscription costs 56 bytes for each of its topics: 24 in the topic, and 32 in the subscription, in a box if there
/// are several. Dropping it leaves all topics.
#[must_use = "a subscription yields nothing unless it is polled"]
pub struct Subscription {
    core: Arc<Core>,
    membership: Membership,
    reader: Reader,
}

impl Subscription {
    pub(crate) fn new(core: &Arc<Core>, mut subscribe: Subscribe) -> Result<Self, SubscribeError> {
        check(&core.settings, &mut subscribe)?;
        let lookup = core.subscribe(&subscribe.topics)?;
        let (head, is_replica, is_bounded) = (lookup.head, core.replica.is_some(), subscribe.is_bounded());
        let floor = resume::floor(&subscribe, lookup.epoch.position(head), is_replica, core.now());
        let start = StartPoint::new(&subscribe, lookup.epoch.position(head), floor, is_replica);
        let replica_wait = ReplicaWait::of_new(core, &subscribe, &lookup, start.cursor);
        let Lookup { topics, epoch, .. } = lookup;
        let selection = subscribe.lag.selection();
        let cursors = Cursors::new(topics, start.is_new.then(|| Query::of_new(selection, floor)));
        let selection = if start.snapshot_through > 0 { Selection::Snapshot } else { selection };
        let query =
            Query { selection, after: start.cursor, through: head, floor, joined_at: start.joined_at, topic_index: 0 };
        // Without an event to come, the client has also seen the ends up to the head, so it begins beyond them.
        let has_any = start.cursor < head && cursors.has_any(query, start.is_new);
        let cursor = if has_any { start.cursor } else { start.cursor.max(head) };
        let lag = subscribe.lag;
        let cold = ColdState {
            first_notice: start.first_notice,
            foreign_id: start.foreign_id,
            resumed_after: (!start.is_new).then_some(start.cursor),
            snapshot_through: start.snapshot_through,
            floor: is_bounded.then(|| (floor, floor.sequence.max(head))),
            request: (is_bounded && is_replica).then(|| Box::new(subscribe.clone())),
            joined_at: start.joined_at,
            ends_ignored_through: if has_any { head } else { 0 },
            replica_wait,
            member: subscribe.member,
            ..ColdState::default()
        };
        let reader = Reader::new(epoch, cursor, lag, cold);
        Ok(Self { core: Arc::clone(core), membership: Membership::new(cursors), reader })
    }

    /// Returns the reason for which the subscription has ended: [`Reason::Lagged`] or [`Reason::TopicClosed`]. Returns `None`
    /// as long as it runs.
    #[must_use]
    pub fn end_reason(&self) -> Option<Reason> {
        self.reader.end_reason()
    }

    /// Returns the name of the topic that an event is from.
    fn topic_of(&self, event: &FoundEvent) -> Option<&Arc<str>> {
        self.membership.topic(event.topic_index)
    }

    /// Polls for the next output. The first one is the greeting or, if the client's id is no position of the hub, a gap.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Output> {
        if self.core.replica.is_some() && self.poll_replica(cx).is_pending() {
            return Poll::Pending;
        }
        if let Some(reason) = self.reader.end_reason() {
            return Poll::Ready(Output::Ended(reason));
        }
        let mut first = self.start();
        loop {
            if self.renew(&mut first) {
                return self.poll_output(cx, budget);
            }
            let output = self.read(budget, &mut first);
            if let Some(Output::Ended(reason)) = output {
                self.end(reason);
                return Poll::Ready(Output::Ended(reason));
            }
            if !self.core.is_current(self.reader.epoch()) {
                // The output is of an epoch that is over, so it is dropped, and the client gets a gap.
                continue;
            }
            if let Some(output) = output {
                return Poll::Ready(output);
            }
            if self.wait(cx) == WaitOutcome::Registered {
                return Poll::Pending;
            }
        }
    }

    /// Joins the topics with the first poll. Returns the notice to deliver first.
    fn start(&mut self) -> Option<Notice> {
        if !self.reader.is_created() {
            return None;
        }
        let Self { core, membership, reader } = self;
        membership.join(core, reader.epoch(), reader.cursor(), reader.member());
        let greets = core.settings.greets();
        reader.start().filter(|&notice| notice == Notice::Gap || greets)
    }

    /// Reads what comes next: a shared frame if possible, or else the logs.
    fn read(&mut self, budget: Budget, first: &mut Option<Notice>) -> Option<Output> {
        let Self { core, membership, reader } = self;
        if let Some(output) = reader.take_deferred() {
            return Some(output);
        }
        let has_notice = first.is_some() || reader.has_pending_gap();
        let end = if has_notice { None } else { reader.take_end() };
        if end.is_some() {
            return end;
        }
        if !has_notice && reader.cursor() >= core.watermark() {
            // Nothing is new, so no log is locked. Most polls end here, after an event.
            return None;
        }
        if !has_notice && reader.reads_frames(budget) {
            let at = Instant::now();
            match membership.read_shared(core, reader.epoch(), reader.cursor(), at) {
                SharedRead::Frame(slice) => return Some(reader.accept_frame(slice, at)),
                SharedRead::UpToDate => return None,
                SharedRead::Fallback => {}
            }
        }
        let (query, ends_ignored_through) = reader.query(core.watermark());
        let mut batch = membership.read(core, reader.epoch(), query, budget, ends_ignored_through);
        // An end of another epoch has no meaning in this one.
        batch.end = batch.end.filter(|_| core.is_current(reader.epoch()));
        reader.accept(query, batch, budget, first.take())
    }

    /// Registers a waker in each topic and with the replica, unless there is something new.
    #[inline]
    fn wait(&mut self, cx: &Context<'_>) -> WaitOutcome {
        let Self { core, membership, reader } = self;
        if let Some(replica) = &core.replica {
            if let Some(wait) = reader.replica_wait_mut() {
                wait.register(replica, cx.waker());
            }
            // Progress of the replica between the read and the registration has woken no task.
            if is_beyond_log(core, reader).is_some() {
                return WaitOutcome::Ready;
            }
        }
        let outcome = membership.wait(core, reader.epoch(), reader.cursor(), cx);
        if outcome == WaitOutcome::Registered {
            reader.caught_up(core.replica.is_some());
        }
        outcome
    }

    /// Polls for the replica to have what this subscription needs before it reads. Until then it does not join its topics.
    fn poll_replica(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Self { core, membership, reader } = self;
        let (Some(replica), Some(wait)) = (&core.replica, reader.replica_wait_mut()) else { return Poll::Ready(()) };
        let topics = membership.topics();
        let subscribe = match wait.poll(core, replica, topics, cx.waker()) {
            ReplicaState::Ready => return Poll::Ready(()),
            ReplicaState::Pending => return Poll::Pending,
            ReplicaState::Resubscribe(subscribe) => subscribe,
        };
        match Self::new(core, subscribe) {
            Ok(mut renewed) => {
                renewed.membership.take_over(membership);
                *self = renewed;
            }
            // A topic was closed and removed meanwhile, and there is no room to create it again.
            Err(_) => self.end(Reason::TopicClosed),
        }
        // Another epoch may have begun meanwhile.
        self.poll_replica(cx)
    }

    /// Moves on to the current epoch, if another one has begun, and restarts if the client's id lies beyond all events. The
    /// client gets a gap. Returns whether the subscription has to wait for its replica before that.
    fn renew(&mut self, first: &mut Option<Notice>) -> bool {
        let Self { core, reader, .. } = self;
        let is_beyond_log = is_beyond_log(core, reader);
        if is_beyond_log.is_some() {
            stop_waiting(core, reader);
        }
        let is_current = core.is_current(reader.epoch());
        if is_current && is_beyond_log != Some(true) {
            return false;
        }
        // Ordering: taken before the replica is checked, so the replica has begun this epoch then, or a later one.
        let epoch = core.epoch_of_all_topics();
        if !is_current && self.waits_for_epoch() {
            return true;
        }
        *first = Some(Notice::Gap);
        self.reader.begin_epoch(epoch);
        self.membership.begin_epoch();
        false
    }

    /// Begins to wait for the replica to have all of the epoch that has begun, if that is necessary. Returns whether it is.
    fn waits_for_epoch(&mut self) -> bool {
        let Self { core, membership, reader } = self;
        let Some(replica) = &core.replica else { return false };
        // What the bounds hide in another epoch is known only then, so the subscription is created again.
        if let Some(request) = reader.take_request() {
            reader.replica_wait_or_new().start(replica, WaitFor::FirstSync(request));
            return true;
        }
        // Keyed values are loaded last: a cursor that moved to the epoch earlier would pass them.
        let topics = membership.topics();
        let waits = reader.lag() == LagPolicy::Conflate && !replica_wait::is_complete(core, replica, topics);
        if waits {
            reader.replica_wait_or_new().start(replica, WaitFor::NextEpoch);
        }
        waits
    }

    /// Returns a handle that detaches this subscription from its topics, once it has joined them.
    fn detach_handle(&mut self) -> Option<DetachHandle> {
        let Self { core, membership, reader } = self;
        membership.detach_handle(core, reader.member())
    }

    fn end(&mut self, reason: Reason) {
        self.leave();
        self.reader.end(reason);
    }

    /// Leaves the topics. Has no further effect if that has been done.
    fn leave(&mut self) {
        let Self { core, membership, reader } = self;
        stop_waiting(core, reader);
        membership.leave(core, reader.member());
    }
}

/// Returns whether the client's id lies beyond all events that exist, or `None` if that is not known yet or not in question.
fn is_beyond_log(core: &Core, reader: &Reader) -> Option<bool> {
    core.replica.as_ref()?;
    reader.replica_wait()?.is_beyond_log(core, reader.cursor())
}

fn stop_waiting(core: &Core, reader: &mut Reader) {
    if let (Some(replica), Some(wait)) = (&core.replica, reader.replica_wait_mut()) {
        wait.stop(replica);
    }
}

/// Sorts the topics and checks the request against the limits of the hub.
fn check(settings: &Settings, subscribe: &mut Subscribe) -> Result<(), SubscribeError> {
    subscribe.topics.sort_unstable();
    subscribe.topics.dedup();
    if subscribe.topics.is_empty() {
        return Err(SubscribeError::NoTopic);
    }
    let (topics, limit) = (subscribe.topics.len(), settings.topics_per_subscription);
    if topics > limit {
        return Err(SubscribeError::TooManyTopics { topics, limit });
    }
    let bytes = subscribe.member.as_ref().map_or(0, |member| member.len());
    if bytes > MAX_MEMBER {
        return Err(SubscribeError::MemberTooLong { bytes, limit: MAX_MEMBER });
    }
    Ok(())
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topics", &self.membership)
            .field("cursor", &self.reader.cursor())
            .finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The maximum length of a member, in bytes.
const MAX_MEMBER: usize = 128;
