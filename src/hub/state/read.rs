//! A reader's query of a topic.
//!
//! Pure. Events are cloned by reference count, in order, within a budget.

use bytes::Bytes;

use super::{
    closings::Beyond,
    found::{Budget, FoundEvent},
    frames::Slice,
    latest::Latest,
    log::{Entry, Log},
};

/// The events that a query selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Every event.
    All,
    /// The newest event of each key, and all events without a key.
    Conflated,
    /// The newest event of each key, and the last event without a key.
    Snapshot,
}

/// The bound below which a reader may not see events: to it, they are as if evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Floor {
    /// Hides everything up to this sequence, keyed values included.
    pub(crate) sequence: u64,
    /// Hides the events that were published before this time.
    pub(crate) at: u64,
}

/// A query for the events of a topic within a range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) selection: Selection,
    /// The cursor: selects events above it.
    pub(crate) after: u64,
    /// Selects events up to this sequence.
    pub(crate) through: u64,
    /// Hides events below it.
    pub(crate) floor: Floor,
    /// The position of the hub when a new reader arrived, or 0 if the reader is not new.
    pub(crate) joined_at: u64,
    /// The index of the topic among those of the reader.
    pub(crate) topic_index: u32,
}

/// The circumstances of a read: the hub's clock, and the epoch that the reader is of.
pub(crate) struct ReadContext<'a, F> {
    pub(crate) now: u64,
    /// The bytes before the sequence on an id line.
    pub(crate) prefix: &'a [u8],
    /// Returns whether the reader's epoch is the current one.
    pub(crate) is_current: F,
}

/// The outcome of a read of one topic, beside the events.
#[derive(Debug)]
pub(crate) struct TopicRead {
    /// The sequence of the last event, if the budget may have cut off more.
    pub(crate) truncated_at: Option<u64>,
    /// The sequence of the newest event that the reader misses if its cursor is below.
    pub(crate) missed_through: u64,
    /// The closings beyond the reader's cursor, if the topic was ever closed.
    pub(crate) closings: Option<Beyond>,
}

/// The outcome of a read of the frames that subscribers share.
#[derive(Debug)]
pub(crate) enum SharedRead {
    /// A slice of a frame.
    Frame(Slice),
    /// Nothing was published after the cursor.
    UpToDate,
    /// No frame has what follows the cursor: the logs have to be read.
    Fallback,
}

/// The outcome of a subscriber's attempt to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// There is something new.
    Ready,
    /// The waker is registered.
    Registered,
}

impl Query {
    /// Returns the query of a new reader for all of a topic. To it, events that are evicted by then are no loss, nor are keys
    /// that are evicted later.
    pub(crate) fn of_new(selection: Selection, floor: Floor) -> Self {
        Self { selection, after: 0, through: u64::MAX, floor, joined_at: u64::MAX, topic_index: 0 }
    }

    /// Appends the selected events to `into`, in order, within the budget. Returns the sequence of the last one if more may
    /// follow.
    pub(crate) fn read(
        self,
        log: &Log,
        latest: &Latest,
        budget: Budget,
        prefix: &[u8],
        into: &mut Vec<FoundEvent>,
    ) -> Option<u64> {
        let first = into.len();
        let mut reader = Collector { into, first, budget, query: self, prefix };
        let after = self.after.max(self.floor.sequence);
        let logged = log.since(after, self.floor.at);
        let unkeyed = |entry: &&Entry| entry.key.is_none();
        match self.selection {
            Selection::All => reader.extend(logged.map(Entry::numbered)),
            Selection::Conflated => {
                reader.extend(merged(logged.filter(unkeyed).map(Entry::numbered), latest.after(after)))
            }
            Selection::Snapshot => {
                let last = logged.rev().find(unkeyed).map(Entry::numbered);
                reader.extend(merged(last.into_iter(), latest.after(after)))
            }
        }
    }

    /// Returns the sequence of the newest event that the floor hides.
    pub(crate) fn hidden(self, log: &Log, latest: &Latest) -> Option<u64> {
        if self.floor == Floor::default() || self.selection == Selection::Snapshot {
            return None;
        }
        let is_all = self.selection == Selection::All;
        let mut hidden = log.until(self.after, self.floor.sequence, self.floor.at).rev();
        let logged = hidden.find(|entry| is_all || entry.key.is_none()).map(|entry| entry.sequence);
        let keyed = latest.newest_through(self.floor.sequence).filter(|&newest| !is_all && newest > self.after);
        logged.max(keyed)
    }
}

struct Collector<'a> {
    into: &'a mut Vec<FoundEvent>,
    first: usize,
    budget: Budget,
    query: Query,
    prefix: &'a [u8],
}

impl Collector<'_> {
    fn extend<'a>(&mut self, events: impl Iterator<Item = (u64, &'a Bytes)>) -> Option<u64> {
        for (sequence, event) in events.take_while(|&(sequence, _)| sequence <= self.query.through) {
            let event = FoundEvent { sequence, event: event.clone(), topic_index: self.query.topic_index };
            if !self.budget.consume(event.encoded_len(self.prefix), self.into.len() == self.first) {
                return self.into.last().map(|event| event.sequence);
            }
            self.into.push(event);
        }
        None
    }
}

/// Merges two iterators that are in order.
fn merged<'a>(
    one: impl Iterator<Item = (u64, &'a Bytes)>,
    other: impl Iterator<Item = (u64, &'a Bytes)>,
) -> impl Iterator<Item = (u64, &'a Bytes)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let other_first = match (one.peek(), other.peek()) {
            (Some((left, _)), Some((right, _))) => right < left,
            (left, _) => left.is_none(),
        };
        if other_first { other.next() } else { one.next() }
    })
}
