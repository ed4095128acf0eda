//! Positions in a hub's order of events, and their text: `epoch-sequence`.
//!
//! Pure. A sequence counts all events of a hub, so a position is valid in all its topics. Each run of a hub has an epoch of its
//! own, so an id of another run or another server is never taken for one of this.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::event::field::EventId;

impl EventId {
    /// Creates the id of the event at a position of a hub: the epoch as 16 hexadecimal digits, a hyphen and the sequence.
    ///
    /// A [backplane](crate::backplane::Backplane::publish) acknowledges a publish with it.
    #[must_use]
    pub fn from_position(epoch: u64, sequence: u64) -> Self {
        Position { epoch, sequence }.id()
    }
}

/// A position in a hub's order: everything up to this event, whichever topics it was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

impl Position {
    /// Parses an id that a client sent. Returns `None` if no hub ever creates such an id.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (epoch, rest) = text.split_at_checked(EPOCH_DIGITS)?;
        let digits = rest.strip_prefix(b"-")?;
        // Invariant: a position has exactly one text, with no capitals, sign or leading zeros.
        if !epoch.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        if !digits.iter().all(u8::is_ascii_digit) || (digits.len() > 1 && digits[0] == b'0') {
            return None;
        }
        let epoch = u64::from_str_radix(std::str::from_utf8(epoch).ok()?, 16).ok()?;
        let sequence = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self { epoch, sequence })
    }

    pub(crate) fn id(self) -> EventId {
        EventId::from_plain(&self.to_string())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0EPOCH_DIGITS$x}-{}", self.epoch, self.sequence)
    }
}

const EPOCH_DIGITS: usize = 16;

/// An epoch: the id space that positions belong to.
#[derive(Debug)]
pub(crate) struct Epoch {
    /// The number of epochs of the hub before this one.
    pub(crate) number: u64,
    epoch: u64,
    /// The text before the sequence on an id line.
    prefix: Box<[u8]>,
}

impl Epoch {
    pub(crate) fn new(number: u64, epoch: u64) -> Self {
        let first = Position { epoch, sequence: 0 }.to_string();
        let prefix = format!("id: {}", first.trim_end_matches('0')).into_bytes().into();
        Self { number, epoch, prefix }
    }

    pub(crate) fn id(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }
}

/// The sequence up to which every event is in the logs. Changes under the registry's lock, and is read without one.
///
/// Ordering: the events up to a watermark that was read are in the logs, for a reader that locks them afterwards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watermark(Arc<AtomicU64>);

impl Watermark {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn advance_to(&self, sequence: u64) {
        self.0.store(sequence, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_parsed_as_displayed() {
        for (epoch, sequence) in [(0, 0), (1, 1), (u64::MAX, u64::MAX), (0xabc, 10)] {
            let position = Position { epoch, sequence };
            assert_eq!(Position::parse(position.to_string().as_bytes()), Some(position));
        }
        assert_eq!(Position { epoch: 0xabc, sequence: 10 }.to_string(), "0000000000000abc-10");
    }

    #[test]
    fn other_text_is_not_parsed_as_a_position() {
        let texts: [&[u8]; 14] = [
            b"",
            b"-",
            b"1",
            b"abc-1",
            b"0000000000000abc",
            b"0000000000000abc-",
            b"0000000000000abc-01",
            b"0000000000000abc-+1",
            b"0000000000000abc--1",
            b"0000000000000abc-1 ",
            b"0000000000000ABC-1",
            b"0000000000000abc-18446744073709551616",
            b"+000000000000abc-1",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff-1",
        ];
        for text in texts {
            assert_eq!(Position::parse(text), None, "{text:?}");
        }
    }
}
