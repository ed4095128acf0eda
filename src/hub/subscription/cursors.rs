//! The cursors of a subscription in its topics.
//!
//! Lock order: topics are locked one at a time.

use std::{
    fmt, slice,
    sync::Arc,
    task::{Context, Waker},
};

use tokio::time::Instant;

use crate::hub::{
    core::Core,
    position::Epoch,
    state::{
        TopicQueue, TopicShared,
        closings::{self, End},
        found::{Budget, FoundEvent},
        hold::Hold,
        lane::{LaneClosed, Place},
        read::{Query, ReadContext, Selection, SharedRead, WaitOutcome},
    },
};

/// The topics of a subscription, each with a cursor.
pub(crate) struct Cursors(CursorList);

/// One topic is held inline, as most subscriptions have one: a box costs memory, and time when its cache line is cold.
enum CursorList {
    One(TopicCursor),
    Several(Box<[TopicCursor]>),
}

/// The state of a subscription in one topic.
struct TopicCursor {
    topic: Hold,
    /// The sequence up to which evicted events are not missing, as they were evicted before a new client subscribed.
    acked_gap: u64,
    /// The place in the topic, once it is joined.
    place: Option<Place>,
}

/// The outcome of a read of all topics.
pub(crate) struct Batch {
    /// The events, in order within each topic.
    pub(crate) events: Vec<FoundEvent>,
    /// The sequence up to which the events of all topics are complete, if the budget may have cut off more.
    pub(crate) truncated_at: Option<u64>,
    /// The sequence of the last event that is missing.
    pub(crate) missed_through: Option<u64>,
    /// The end, beyond which there are no events.
    pub(crate) end: Option<End>,
}

impl Batch {
    /// Sets the end, and removes events beyond it.
    fn end_at(&mut self, end: Option<End>) {
        self.end = end;
        if let Some(at) = end.map(End::at) {
            self.events.retain(|event| event.sequence <= at);
            self.truncated_at = self.truncated_at.filter(|&truncated_at| truncated_at < at);
        }
    }
}

impl Cursors {
    /// Creates the cursors. A new client passes its query: nothing that was evicted before is missing to it.
    pub(crate) fn new(topics: Vec<Hold>, of_new: Option<Query>) -> Self {
        let cursor = |topic: Hold| {
            let acked_gap = of_new.map_or(0, |query| topic.missed_through(query));
            TopicCursor { topic, acked_gap, place: None }
        };
        Self(match <[_; 1]>::try_from(topics) {
            Ok([topic]) => CursorList::One(cursor(topic)),
            Err(topics) => CursorList::Several(topics.into_iter().map(cursor).collect()),
        })
    }

    /// Returns whether a topic has an event for the query. For a client that is not new, an event that is missing counts too.
    pub(crate) fn has_any(&self, query: Query, is_new: bool) -> bool {
        self.all().iter().any(|cursor| cursor.topic.has_any(query, is_new))
    }

    fn all(&self) -> &[TopicCursor] {
        match &self.0 {
            CursorList::One(cursor) => slice::from_ref(cursor),
            CursorList::Several(cursors) => cursors,
        }
    }

    fn all_mut(&mut self) -> &mut [TopicCursor] {
        match &mut self.0 {
            CursorList::One(cursor) => slice::from_mut(cursor),
            CursorList::Several(cursors) => cursors,
        }
    }

    /// Returns the name of the topic with this index.
    pub(crate) fn topic(&self, index: u32) -> Option<&Arc<str>> {
        self.all().get(index as usize).map(|cursor| cursor.topic.name())
    }

    /// Returns whether the topics were joined, and not left since.
    pub(crate) fn has_joined(&self) -> bool {
        self.all().first().is_some_and(|cursor| cursor.place.is_some())
    }

    /// Iterates over the topics.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<TopicShared>> {
        self.all().iter().map(|cursor| &*cursor.topic)
    }

    /// Iterates over the joined topics, each with the place of the subscription in it.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Arc<TopicShared>, &Place)> {
        self.all().iter().filter_map(|cursor| Some((&*cursor.topic, cursor.place.as_ref()?)))
    }

    /// Joins all topics that are not joined yet, in the lanes of a queue.
    pub(crate) fn join(
        &mut self,
        core: &Core,
        epoch: &Epoch,
        queue: &Arc<TopicQueue>,
        sequence: u64,
        member: Option<&Arc<str>>,
    ) -> Result<(), LaneClosed> {
        for cursor in self.all_mut().iter_mut().filter(|cursor| cursor.place.is_none()) {
            let (place, wakes) = cursor.topic.join(queue, sequence, || core.is_current(epoch), member)?;
            cursor.place = Some(place);
            wakes.wake();
        }
        Ok(())
    }

    /// Returns whether a topic was joined in the lane of another queue.
    pub(crate) fn is_elsewhere(&self, queue: &TopicQueue) -> bool {
        self.places().any(|(_, place)| place.lane.queue() != queue.id())
    }

    /// Moves to the lanes of a queue. Adds the wakers that were registered in others to `unused`.
    pub(crate) fn move_to(&mut self, queue: &Arc<TopicQueue>, unused: &mut Vec<Waker>) -> Result<(), LaneClosed> {
        for cursor in self.all_mut() {
            if let Some(place) = cursor.place.as_mut().filter(|place| place.lane.queue() != queue.id()) {
                let (moved, waker) = cursor.topic.move_to(place, queue)?;
                *place = moved;
                unused.extend(waker);
            }
        }
        Ok(())
    }

    /// Takes over the registrations of other cursors in the same topics, which have not joined from then on.
    pub(crate) fn take_registrations(&mut self, other: &mut Self) {
        for (cursor, other) in self.all_mut().iter_mut().zip(other.all_mut()) {
            cursor.place = other.place.take();
        }
    }

    /// Leaves and drops all topics, whether they were joined or not.
    pub(crate) fn leave(&mut self, core: &Core, member: Option<&Arc<str>>) {
        let now = core.now();
        for cursor in self.all() {
            cursor.topic.read_at(now);
            if let Some(place) = &cursor.place {
                cursor.topic.leave(place, member).wake();
            }
        }
        self.0 = CursorList::Several(Box::default());
    }

    /// Returns a slice of a frame that the subscribers of the only topic share, if a frame has what follows the cursor at this
    /// time.
    pub(crate) fn read_shared(&self, core: &Core, epoch: &Epoch, sequence: u64, at: Instant) -> SharedRead {
        let CursorList::One(TopicCursor { topic, acked_gap, place: Some(place) }) = &self.0 else {
            return SharedRead::Fallback;
        };
        topic.read_shared(place, (sequence, *acked_gap), core.at(at), || core.is_current(epoch))
    }

    /// Reads all topics. Ends that are over by `ends_ignored_through` are ignored.
    pub(crate) fn read(
        &mut self,
        core: &Core,
        epoch: &Epoch,
        query: Query,
        budget: Budget,
        ends_ignored_through: u64,
    ) -> Batch {
        let now = core.now();
        let mut batch = Batch { events: Vec::new(), truncated_at: None, missed_through: None, end: None };
        let mut closings = Vec::new();
        for (index, cursor) in (0..).zip(self.all_mut()) {
            let context = ReadContext { now, prefix: epoch.prefix(), is_current: || core.is_current(epoch) };
            let query = Query { topic_index: index, ..query };
            let Some(place) = &cursor.place else { continue };
            let (read, wakes) = cursor.topic.read(place, query, budget, &context, &mut batch.events);
            wakes.wake();
            if read.missed_through > query.after.max(cursor.acked_gap) {
                batch.missed_through = batch.missed_through.max(Some(read.missed_through));
            }
            closings.extend(read.closings);
            batch.truncated_at = [batch.truncated_at, read.truncated_at].into_iter().flatten().min();
        }
        // A topic that was never closed has no closings, and then the subscription has no end.
        if closings.len() == self.all().len() {
            // An end within what is missing is evicted as well.
            let after = query.after.max(batch.missed_through.unwrap_or(0).saturating_sub(1));
            let end = closings::first_end(&closings, after, query.through, ends_ignored_through);
            // Topics that are closed within a snapshot stay closed up to its end, and all of the snapshot is delivered.
            let is_snapshot = query.selection == Selection::Snapshot;
            batch.end_at(end.map(|end| if is_snapshot { end.moved_to(query.through) } else { end }));
        }
        batch
    }

    /// Registers a waker in each topic, unless one of them has something after the cursor.
    #[inline]
    pub(crate) fn wait(
        &self,
        core: &Core,
        epoch: &Epoch,
        sequence: u64,
        cx: &Context<'_>,
    ) -> Result<WaitOutcome, LaneClosed> {
        for (topic, place) in self.places() {
            let waker = cx.waker().clone();
            let (outcome, wakes) = topic.wait(place, sequence, &core.watermark, || core.is_current(epoch), waker)?;
            wakes.wake();
            if outcome == WaitOutcome::Ready {
                return Ok(WaitOutcome::Ready);
            }
        }
        Ok(WaitOutcome::Registered)
    }

    /// Resets what is known of the topics: they are of another epoch, in which everything evicted is missing to the client.
    pub(crate) fn begin_epoch(&mut self) {
        self.all_mut().iter_mut().for_each(|cursor| cursor.acked_gap = 0);
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter().map(|cursor| cursor.topic.name())).finish()
    }
}
