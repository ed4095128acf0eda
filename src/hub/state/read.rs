//! What a reader finds in a topic.
//!
//! Pure: events are taken by their count of references, in order, as far as a budget goes.

use bytes::Bytes;

use super::{
    closings::Beyond,
    found::{Budget, FoundEvent},
    frames::Slice,
    latest::Latest,
    log::{Entry, Log},
};

/// Which events count for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Every event.
    All,
    /// Of those with a key the newest, of the others all.
    Conflated,
    /// Of those with a key the newest, of the others the last.
    Snapshot,
}

/// The past that a reader may not see: to it, the events below are as good as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Floor {
    /// Everything up to this, keyed values included.
    pub(crate) sequence: u64,
    /// The events that came to the log before this time.
    pub(crate) at: u64,
}

/// What a reader wants of a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) selection: Selection,
    /// Above this.
    pub(crate) after: u64,
    /// Up to this.
    pub(crate) through: u64,
    /// And not below this.
    pub(crate) floor: Floor,
    /// Where the hub was when the reader came as a new one. 0: it is not new.
    pub(crate) came_at: u64,
    /// Which of the reader's topics it is.
    pub(crate) seat: u32,
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
    /// Returns the wish of a new reader for a topic that it finds: of what is gone by then, and of keys that go later,
    /// it misses nothing.
    pub(crate) fn of_new(take: Selection, floor: Floor) -> Self {
        Self { selection: take, after: 0, through: u64::MAX, floor, came_at: u64::MAX, seat: 0 }
    }

    /// What a reader wishes for, in order, as far as the budget goes. Gives how far the last one reaches if more may follow.
    pub(crate) fn read(
        self,
        log: &Log,
        latest: &Latest,
        budget: Budget,
        prefix: &[u8],
        into: &mut Vec<FoundEvent>,
    ) -> Option<u64> {
        let first = into.len();
        let mut picking = Reader { into, first, budget, wish: self, prefix };
        let after = self.after.max(self.floor.sequence);
        let logged = log.since(after, self.floor.at);
        let unkeyed = |entry: &&Entry| entry.key.is_none();
        match self.selection {
            Selection::All => picking.extend(logged.map(Entry::numbered)),
            Selection::Conflated => {
                picking.extend(merged(logged.filter(unkeyed).map(Entry::numbered), latest.after(after)))
            }
            Selection::Snapshot => {
                let last = logged.rev().find(unkeyed).map(Entry::numbered);
                picking.extend(merged(last.into_iter(), latest.after(after)))
            }
        }
    }

    /// The newest event that the reader would have found if there were no floor.
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

struct Reader<'a> {
    into: &'a mut Vec<FoundEvent>,
    first: usize,
    budget: Budget,
    wish: Query,
    prefix: &'a [u8],
}

impl Reader<'_> {
    fn extend<'a>(&mut self, events: impl Iterator<Item = (u64, &'a Bytes)>) -> Option<u64> {
        for (sequence, event) in events.take_while(|&(sequence, _)| sequence <= self.wish.through) {
            let event = FoundEvent { sequence, event: event.clone(), seat: self.wish.seat };
            if !self.budget.consume(event.encoded_len(self.prefix), self.into.len() == self.first) {
                return self.into.last().map(|event| event.sequence);
            }
            self.into.push(event);
        }
        None
    }
}

/// Two that are in order, as one that is.
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
