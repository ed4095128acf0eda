//! Events that were read from a log: cloned under a lock by reference count, encoded after it.
//!
//! Pure.

use bytes::Bytes;

use crate::body::source::FRAME_BYTES;

/// An event that was read. Its id is its sequence.
#[derive(Debug, Clone)]
pub(crate) struct FoundEvent {
    pub(crate) sequence: u64,
    pub(crate) event: Bytes,
    /// The index of its topic among those of the subscription.
    pub(crate) topic_index: u32,
}

/// The ids that events are sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Each event has its own.
    Own,
    /// Only the last event of a snapshot has one, if the snapshot is complete with it: a client that is disconnected before
    /// reconnects as a new one, and gets the snapshot again.
    Present { last: Option<u64> },
}

impl Ids {
    /// Returns the sequence to send as the id of an event.
    pub(crate) fn of(self, event: &FoundEvent, is_last: bool) -> Option<u64> {
        match self {
            Self::Own => Some(event.sequence),
            Self::Present { last } => last.filter(|_| is_last),
        }
    }
}

/// The limit of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Budget {
    /// One event, of any size.
    pub(crate) const ONE: Self = Self { events: 1, bytes: usize::MAX };

    /// One frame.
    pub(crate) const FRAME: Self = Self { events: usize::MAX, bytes: FRAME_BYTES };

    pub(crate) fn is_one(self) -> bool {
        self.events <= 1
    }

    /// Subtracts an event. Returns `false` if it does not fit any more. The first event always fits.
    pub(crate) fn consume(&mut self, bytes: usize, is_first: bool) -> bool {
        if !is_first && (self.events == 0 || self.bytes < bytes) {
            return false;
        }
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

impl FoundEvent {
    /// Returns the number of bytes on the wire, with an id of this prefix.
    pub(crate) fn encoded_len(&self, prefix: &[u8]) -> usize {
        prefix.len() + digits(self.sequence) + 1 + self.event.len()
    }
}

/// Encodes events with their ids.
pub(crate) fn encode(prefix: &[u8], events: &[FoundEvent]) -> Bytes {
    let mut buffer = Vec::with_capacity(encoded_len(prefix, events));
    encode_to(prefix, events, Ids::Own, &mut buffer);
    Bytes::from(buffer)
}

/// Returns the number of bytes that these events take on the wire.
pub(crate) fn encoded_len(prefix: &[u8], events: &[FoundEvent]) -> usize {
    events.iter().map(|event| event.encoded_len(prefix)).sum()
}

/// Appends these events with these ids.
pub(crate) fn encode_to(prefix: &[u8], events: &[FoundEvent], ids: Ids, buffer: &mut Vec<u8>) {
    for (number, event) in (1..).zip(events) {
        if let Some(id) = ids.of(event, number == events.len()) {
            put_id(prefix, id, buffer);
        }
        buffer.extend_from_slice(&event.event);
    }
}

/// Appends an id line with this sequence.
pub(crate) fn put_id(prefix: &[u8], sequence: u64, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(prefix);
    buffer.extend_from_slice(itoa::Buffer::new().format(sequence).as_bytes());
    buffer.push(b'\n');
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

/// The most bytes of an id line after its prefix.
pub(crate) const MAX_ID: usize = "18446744073709551615\n".len();

/// Sorts the events of several topics, and truncates them to the budget, and to the sequence up to which each topic was read.
///
/// `horizon` is the lowest sequence at which the budget cut off a topic. Returns the sequence of the last event if any was cut
/// off.
pub(crate) fn merge(
    events: &mut Vec<FoundEvent>,
    horizon: Option<u64>,
    mut budget: Budget,
    prefix: &[u8],
) -> Option<u64> {
    events.sort_unstable_by_key(|event| event.sequence);
    let mut keep = 0;
    for event in &*events {
        let is_read = horizon.is_none_or(|horizon| event.sequence <= horizon);
        if !is_read || !budget.consume(event.encoded_len(prefix), keep == 0) {
            break;
        }
        keep += 1;
    }
    let is_truncated = horizon.is_some() || keep < events.len();
    events.truncate(keep);
    if is_truncated { events.last().map(|event| event.sequence) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(sequence: u64, topic_index: u32, bytes: usize) -> FoundEvent {
        FoundEvent { sequence, event: Bytes::from(vec![b'x'; bytes]), topic_index }
    }

    /// Reads a topic within a budget. Also returns the sequence of the last event if there are more.
    fn give(all: &[FoundEvent], mut budget: Budget, prefix: &[u8]) -> (Vec<FoundEvent>, Option<u64>) {
        let fits = |(at, event): &(usize, &FoundEvent)| budget.consume(event.encoded_len(prefix), *at == 0);
        let given: Vec<_> = all.iter().enumerate().take_while(fits).map(|(_, event)| event.clone()).collect();
        let truncated_at = if given.len() < all.len() { given.last().map(|event| event.sequence) } else { None };
        (given, truncated_at)
    }

    proptest! {
        #[test]
        fn merged_events_are_a_prefix_of_all_events(
            parts in prop::collection::vec((0_u32..3, 0_usize..40), 0..20),
            events in prop_oneof![Just(1_usize), Just(3), Just(usize::MAX)],
            bytes in prop_oneof![Just(0_usize), 0_usize..100, Just(usize::MAX)],
        ) {
            let (budget, prefix) = (Budget { events, bytes }, b"id: e-");
            let all: Vec<_> = parts.into_iter().zip(1..).map(|((topic_index, bytes), at)| event(at, topic_index, bytes)).collect();
            let (mut merged, mut horizon) = (Vec::new(), None);
            for topic_index in 0..3 {
                let of_topic: Vec<_> = all.iter().filter(|event| event.topic_index == topic_index).cloned().collect();
                let (given, stopped) = give(&of_topic, budget, prefix);
                merged.extend(given);
                horizon = [horizon, stopped].into_iter().flatten().min();
            }
            let truncated_at = merge(&mut merged, horizon, budget, prefix);
            let numbers: Vec<_> = merged.iter().map(|event| event.sequence).collect();
            assert_eq!(numbers, (1..=merged.len() as u64).collect::<Vec<_>>(), "in order, none left out");
            assert_eq!(merged.is_empty(), all.is_empty(), "at least one event, so that a reader advances");
            let size: usize = merged.iter().map(|event| event.encoded_len(prefix)).sum();
            assert!(merged.len() <= 1 || (merged.len() <= events && size <= bytes));
            assert_eq!(truncated_at, if merged.len() < all.len() { numbers.last().copied() } else { None });
        }
    }

    #[test]
    fn the_computed_length_is_the_encoded_length() {
        for sequence in [0, 9, 10, 99, 100, u64::MAX] {
            let event = FoundEvent { sequence, event: Bytes::from_static(b"data: x\n\n"), topic_index: 0 };
            let bytes = encode(b"id: e-", std::slice::from_ref(&event));
            assert_eq!(bytes.len(), event.encoded_len(b"id: e-"));
            assert_eq!(bytes, format!("id: e-{sequence}\ndata: x\n\n"));
        }
    }
}
