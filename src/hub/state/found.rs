//! Events on their way out of a log: taken under a lock by their count of references, encoded outside.
//!
//! Pure.

use bytes::Bytes;

use crate::body::source::FRAME_BYTES;

/// An event as it was found: its id is its sequence.
#[derive(Debug, Clone)]
pub(crate) struct FoundEvent {
    pub(crate) sequence: u64,
    pub(crate) event: Bytes,
    /// Which of a subscription's topics it is from.
    pub(crate) seat: u32,
}

/// Which ids events carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Each its own.
    Own,
    /// None but the last, and that one only if the present is complete with it: a client that is cut before comes back as a
    /// new one, and gets the present again.
    Present { last: Option<u64> },
}

impl Ids {
    /// The id of an event of these.
    pub(crate) fn of(self, event: &FoundEvent, is_last: bool) -> Option<u64> {
        match self {
            Self::Own => Some(event.sequence),
            Self::Present { last } => last.filter(|_| is_last),
        }
    }
}

/// How much is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Budget {
    /// One event, however large.
    pub(crate) const ONE: Self = Self { events: 1, bytes: usize::MAX };

    /// One frame.
    pub(crate) const FRAME: Self = Self { events: usize::MAX, bytes: FRAME_BYTES };

    pub(crate) fn is_one(self) -> bool {
        self.events <= 1
    }

    /// Takes an event's share. `false`: it does not fit any more. The first always does.
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
    /// What it takes on the wire behind its hub's prefix for ids.
    pub(crate) fn encoded_len(&self, prefix: &[u8]) -> usize {
        prefix.len() + digits(self.sequence) + 1 + self.event.len()
    }
}

/// These events with their ids.
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

/// A line with this position as id.
pub(crate) fn put_id(prefix: &[u8], sequence: u64, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(prefix);
    buffer.extend_from_slice(itoa::Buffer::new().format(sequence).as_bytes());
    buffer.push(b'\n');
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

/// What an id takes behind the prefix, at most.
pub(crate) const MAX_ID: usize = "18446744073709551615\n".len();

/// Puts what several topics gave in order, as far as all of them have told what they have, and within the budget.
///
/// `told` is how far the one came that stopped first. Gives how far what is left reaches; `None`: nothing was left out.
pub(crate) fn merge(events: &mut Vec<FoundEvent>, told: Option<u64>, mut budget: Budget, prefix: &[u8]) -> Option<u64> {
    events.sort_unstable_by_key(|event| event.sequence);
    let mut keep = 0;
    for event in &*events {
        let told = told.is_none_or(|told| event.sequence <= told);
        if !told || !budget.consume(event.encoded_len(prefix), keep == 0) {
            break;
        }
        keep += 1;
    }
    let cut = told.is_some() || keep < events.len();
    events.truncate(keep);
    if cut { events.last().map(|event| event.sequence) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(sequence: u64, seat: u32, bytes: usize) -> FoundEvent {
        FoundEvent { sequence, event: Bytes::from(vec![b'x'; bytes]), seat }
    }

    /// What a topic gives within a budget, and how far it came if there is more.
    fn give(all: &[FoundEvent], mut budget: Budget, prefix: &[u8]) -> (Vec<FoundEvent>, Option<u64>) {
        let fits = |(at, event): &(usize, &FoundEvent)| budget.consume(event.encoded_len(prefix), *at == 0);
        let given: Vec<_> = all.iter().enumerate().take_while(fits).map(|(_, event)| event.clone()).collect();
        let told = if given.len() < all.len() { given.last().map(|event| event.sequence) } else { None };
        (given, told)
    }

    proptest! {
        #[test]
        fn what_is_merged_is_the_beginning_of_all_that_there_is(
            seats in prop::collection::vec((0_u32..3, 0_usize..40), 0..20),
            events in prop_oneof![Just(1_usize), Just(3), Just(usize::MAX)],
            bytes in prop_oneof![Just(0_usize), 0_usize..100, Just(usize::MAX)],
        ) {
            let (budget, prefix) = (Budget { events, bytes }, b"id: e-");
            let all: Vec<_> = seats.into_iter().zip(1..).map(|((seat, bytes), at)| event(at, seat, bytes)).collect();
            let (mut merged, mut told) = (Vec::new(), None);
            for seat in 0..3 {
                let of_seat: Vec<_> = all.iter().filter(|event| event.seat == seat).cloned().collect();
                let (given, stopped) = give(&of_seat, budget, prefix);
                merged.extend(given);
                told = [told, stopped].into_iter().flatten().min();
            }
            let cut = merge(&mut merged, told, budget, prefix);
            let numbers: Vec<_> = merged.iter().map(|event| event.sequence).collect();
            assert_eq!(numbers, (1..=merged.len() as u64).collect::<Vec<_>>(), "in order, with nothing left out");
            assert_eq!(merged.is_empty(), all.is_empty(), "one at least comes, so that a reader comes ahead");
            let size: usize = merged.iter().map(|event| event.encoded_len(prefix)).sum();
            assert!(merged.len() <= 1 || (merged.len() <= events && size <= bytes));
            assert_eq!(cut, if merged.len() < all.len() { numbers.last().copied() } else { None });
        }
    }

    #[test]
    fn the_length_is_what_is_written() {
        for sequence in [0, 9, 10, 99, 100, u64::MAX] {
            let event = FoundEvent { sequence, event: Bytes::from_static(b"data: x\n\n"), seat: 0 };
            let bytes = encode(b"id: e-", std::slice::from_ref(&event));
            assert_eq!(bytes.len(), event.encoded_len(b"id: e-"));
            assert_eq!(bytes, format!("id: e-{sequence}\ndata: x\n\n"));
        }
    }
}
