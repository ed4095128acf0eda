//! The lineage of a client: the events of all its connections, each of which began with the last id of the one
//! before.
//!
//! The rules here are independent of how a gap is found: nothing is delivered twice, and each event that was not
//! delivered is followed by a gap at or above it.

use tower_sse::hub::LagPolicy;

use super::model::{Model, Record};

#[derive(Debug, Clone, Default)]
pub(super) struct Lineage {
    /// The delivered events, in order.
    given: Vec<u64>,
    /// The ends of the gaps.
    gaps: Vec<u64>,
    /// The position after which the client requested all events.
    base: u64,
    /// The position of the hub when the client joined as a new one.
    joined_at: u64,
    /// The events that precede a new client.
    no_loss: Vec<u64>,
}

impl Lineage {
    pub(super) fn new(base: u64, joined_at: u64, mut no_loss: Vec<u64>) -> Self {
        no_loss.sort_unstable();
        Self { base, joined_at, no_loss, ..Self::default() }
    }

    pub(super) fn given(&mut self, sequence: u64) {
        match self.given.binary_search(&sequence) {
            Ok(_) => unreachable!("{sequence} is delivered again"),
            Err(at) => self.given.insert(at, sequence),
        }
    }

    pub(super) fn reported(&mut self, to: u64) {
        assert!(!self.gaps.contains(&to), "the gap up to {to} is reported again");
        self.gaps.push(to);
    }

    /// Asserts that the client lacks nothing, after it has read everything up to here.
    pub(super) fn lacks_nothing(&self, reached: u64, topics: &[usize], lag: LagPolicy, model: &Model) {
        let is_owed = |event: &&Record| {
            let sequence = event.sequence;
            topics.contains(&event.topic)
                && !event.is_bare
                && (self.base < sequence && sequence <= reached)
                && self.given.binary_search(&sequence).is_err()
                && self.no_loss.binary_search(&sequence).is_err()
                && !(lag == LagPolicy::Conflate && self.is_past(event))
        };
        for event in model.events.iter().filter(is_owed) {
            let is_told = self.gaps.iter().any(|&to| to >= event.sequence);
            assert!(is_told, "{event:?} was neither delivered nor told to be missing");
        }
    }

    /// Returns whether an event does not count: it was superseded, removed, or evicted as the past of a
    /// client that was new.
    fn is_past(&self, event: &Record) -> bool {
        event.key.is_some() && ((!event.is_latest && !event.was_latest) || event.sequence <= self.joined_at)
    }
}
