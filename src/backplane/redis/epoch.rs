//! A history of the stream in Redis: its number, and which ids of entries have a position in it.
//!
//! Pure. An id `ms-number` is packed into 64 bits, 44 and 20 of them, in the same order. That is enough until the year 2527,
//! and for a million entries in a millisecond. A stream whose ids have left that space, for good, since Redis gives none that
//! is lower than another, has a history whose milliseconds are counted from a first one.

use std::fmt;

use super::id;

/// A history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    number: u64,
    /// The first millisecond of its ids, or 0 if they are not counted from another.
    first: u64,
}

impl Epoch {
    /// Returns a history of this number, in which a stream has positions whose last id is this.
    pub(super) fn new(number: u64, last: &str) -> Self {
        let ms = id::parts(last).map_or(0, |(ms, _)| ms);
        Self { number, first: if ms < MOST_MS { 0 } else { ms } }
    }

    /// Returns the history that takes the place of this one, with the same positions if the last id of the stream has one.
    pub(super) fn renewed(self, number: u64, last: &str) -> Self {
        let new = Self::new(number, last);
        if new.first > 0 && self.covers(last) { Self { number, ..self } } else { new }
    }

    /// Reads a value as it is in Redis: 16 hexadecimal digits, and, where ids are counted from another millisecond than 0,
    /// a colon and that. Returns `None` if it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, first) = match text.split_once(':') {
            None => (text, 0),
            Some((number, first)) => (number, first.parse().ok()?),
        };
        let epoch = Self { number: u64::from_str_radix(number, 16).ok()?, first };
        // One history has one text.
        (epoch.to_string() == text).then_some(epoch)
    }

    pub(super) fn number(self) -> u64 {
        self.number
    }

    /// The lowest id of the history.
    pub(super) fn lowest(self) -> String {
        format!("{}-0", self.first)
    }

    /// Returns whether the millisecond of this id belongs to the history.
    pub(super) fn covers(self, id: &str) -> bool {
        id::parts(id).is_some_and(|(ms, _)| self.since_first(ms).is_some())
    }

    /// Returns the position of this id, or `None` if it has none.
    pub(super) fn sequence(self, id: &str) -> Option<u64> {
        let (ms, number) = id::parts(id)?;
        let ms = self.since_first(ms)?;
        (number < 1 << NUMBER).then_some(ms << NUMBER | number)
    }

    /// Returns the last position that is not above this id.
    pub(super) fn through(self, id: &str) -> u64 {
        let Some((ms, number)) = id::parts(id) else { return 0 };
        self.since_first(ms).map_or(0, |ms| ms << NUMBER | number.min((1 << NUMBER) - 1))
    }

    /// Returns the id of this position.
    pub(super) fn id(self, sequence: u64) -> String {
        let since = (sequence >> NUMBER).saturating_sub(u64::from(self.first > 0));
        let ms = since.saturating_add(self.first);
        format!("{ms}-{}", sequence & ((1 << NUMBER) - 1))
    }

    fn since_first(self, ms: u64) -> Option<u64> {
        // 0 is free for what was before.
        let ms = if self.first == 0 { ms } else { ms.checked_sub(self.first)?.checked_add(1)? };
        (ms < MOST_MS).then_some(ms)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.number)?;
        if self.first > 0 { write!(f, ":{}", self.first) } else { Ok(()) }
    }
}

/// The number of bits that the number within a millisecond has.
const NUMBER: u32 = 20;

/// The first millisecond that has no positions. The last number of all stays free.
const MOST_MS: u64 = (1 << (64 - NUMBER)) - 1;

/// An id from which on all are outside of a history that is not counted from a first millisecond.
pub(super) const LAST_OF_PLAIN: &str = "17592186044414-18446744073709551615";

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Epoch = Epoch { number: 7, first: 0 };

    /// Microseconds, as a program gives them that takes them for an id.
    const MICROS: &str = "1764519000000000-0";

    #[test]
    fn the_order_stays() {
        let ids = ["0-0", "0-1", "0-1048575", "1-0", "1700000000000-7", "1700000000001-0", "17592186044414-1048575"];
        let sequences: Vec<_> = ids.iter().map(|id| PLAIN.sequence(id).unwrap()).collect();
        assert!(sequences.is_sorted());
        assert!(sequences[0] == 0 && sequences[6] < u64::MAX);
        assert!(ids.iter().zip(&sequences).all(|(id, &sequence)| PLAIN.id(sequence) == *id));
        assert!(ids.iter().zip(&sequences).all(|(id, &sequence)| PLAIN.through(id) == sequence));
        for none in ["", "1", "1-", "-1", "a-1", "1-1048576", "17592186044415-0", MICROS] {
            assert_eq!(PLAIN.sequence(none), None, "{none}");
        }
        assert_eq!(PLAIN.through("1-1048576"), PLAIN.sequence("1-1048575").unwrap());
        assert!(PLAIN.covers("1-1048576") && !PLAIN.covers(MICROS) && PLAIN.covers(LAST_OF_PLAIN));
    }

    #[test]
    fn a_stream_that_has_left_the_space_has_positions_from_there_on() {
        for last in [MICROS, "1764519000000000000-5", "18446744073709551615-0"] {
            let epoch = PLAIN.renewed(8, last);
            assert_ne!(epoch.number(), PLAIN.number());
            let first = epoch.sequence(&epoch.lowest()).unwrap();
            assert!(first > 0 && epoch.sequence(last).unwrap() >= first, "{last}");
            assert_eq!(epoch.id(epoch.sequence(last).unwrap()), last);
            assert_eq!((epoch.sequence("1700000000000-7"), epoch.through("1700000000000-7")), (None, 0));
            assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
            // The next one keeps what has positions, or leaves with the ids.
            assert_eq!(epoch.renewed(9, last).first, epoch.first);
            assert_eq!(epoch.renewed(9, "1700000000000-7").first, 0);
        }
    }

    #[test]
    fn nothing_but_a_history_is_taken_for_one() {
        assert_eq!(Epoch::parse("0000000000000007"), Some(PLAIN));
        for none in
            ["", "7", "garbage", "+00000000000007f", "000000000000000A", "0000000000000007:", "0000000000000007:0"]
        {
            assert_eq!(Epoch::parse(none), None, "{none}");
        }
        assert_eq!(Epoch::parse("0000000000000007:18446744073709551616"), None);
    }
}
