//! An epoch of the stream in Redis: its number, and the mapping of entry ids to positions.
//!
//! Pure. An id `ms-number` is packed into 64 bits, 44 and 20 of them, in the same order. That is enough until the year 2527,
//! and for a million entries in a millisecond. The ids of a stream can leave that space, and Redis never assigns a lower id
//! again. The next epoch then counts its milliseconds from a base.

use std::fmt;

use super::id;

/// An epoch of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamEpoch {
    number: u64,
    /// The first millisecond of its ids, or 0 if milliseconds are not counted from a base.
    base: u64,
}

impl StreamEpoch {
    /// Returns an epoch of this number that has positions for this id and later ones.
    pub(super) fn new(number: u64, last: &str) -> Self {
        let ms = id::parts(last).map_or(0, |(ms, _)| ms);
        Self { number, base: if ms < END_MS { 0 } else { ms } }
    }

    /// Returns the epoch that replaces this one. It keeps the base if the last id of the stream has a position with it.
    pub(super) fn renewed(self, number: u64, last: &str) -> Self {
        let new = Self::new(number, last);
        if new.base > 0 && self.covers(last) { Self { number, ..self } } else { new }
    }

    /// Parses the value in Redis: 16 hexadecimal digits, followed by a colon and the base if that is not 0. Returns `None` if
    /// the value is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, base) = match text.split_once(':') {
            None => (text, 0),
            Some((number, base)) => (number, base.parse().ok()?),
        };
        let epoch = Self { number: u64::from_str_radix(number, 16).ok()?, base };
        // An epoch has exactly one text.
        (epoch.to_string() == text).then_some(epoch)
    }

    pub(super) fn number(self) -> u64 {
        self.number
    }

    /// Returns the lowest id that has a position.
    pub(super) fn lowest_id(self) -> String {
        format!("{}-0", self.base)
    }

    /// Returns whether the millisecond of this id has positions.
    pub(super) fn covers(self, id: &str) -> bool {
        id::parts(id).is_some_and(|(ms, _)| self.since_base(ms).is_some())
    }

    /// Returns the position of this id, or `None` if it has none.
    pub(super) fn sequence(self, id: &str) -> Option<u64> {
        let (ms, number) = id::parts(id)?;
        let ms = self.since_base(ms)?;
        (number < 1 << NUMBER_BITS).then_some(ms << NUMBER_BITS | number)
    }

    /// Returns the last position that is not above this id, or 0.
    pub(super) fn floor(self, id: &str) -> u64 {
        let Some((ms, number)) = id::parts(id) else { return 0 };
        self.since_base(ms).map_or(0, |ms| ms << NUMBER_BITS | number.min((1 << NUMBER_BITS) - 1))
    }

    /// Returns the id of this position.
    pub(super) fn id(self, sequence: u64) -> String {
        let since = (sequence >> NUMBER_BITS).saturating_sub(u64::from(self.base > 0));
        let ms = since.saturating_add(self.base);
        format!("{ms}-{}", sequence & ((1 << NUMBER_BITS) - 1))
    }

    fn since_base(self, ms: u64) -> Option<u64> {
        // With a base, position 0 remains free for events of earlier epochs.
        let ms = if self.base == 0 { ms } else { ms.checked_sub(self.base)?.checked_add(1)? };
        (ms < END_MS).then_some(ms)
    }
}

impl fmt::Display for StreamEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.number)?;
        if self.base > 0 { write!(f, ":{}", self.base) } else { Ok(()) }
    }
}

/// The number of bits for the number within a millisecond.
const NUMBER_BITS: u32 = 20;

/// The first millisecond that has no positions. The highest position remains unused.
const END_MS: u64 = (1 << (64 - NUMBER_BITS)) - 1;

/// The last id of the milliseconds that have positions without a base. Later ids have none.
pub(super) const LAST_UNBASED_ID: &str = "17592186044414-18446744073709551615";

#[cfg(test)]
mod tests {
    use super::*;

    const UNBASED: StreamEpoch = StreamEpoch { number: 7, base: 0 };

    /// Microseconds, which some programs use as ids.
    const MICROS: &str = "1764519000000000-0";

    #[test]
    fn packing_preserves_the_order_of_ids() {
        let ids = ["0-0", "0-1", "0-1048575", "1-0", "1700000000000-7", "1700000000001-0", "17592186044414-1048575"];
        let sequences: Vec<_> = ids.iter().map(|id| UNBASED.sequence(id).unwrap()).collect();
        assert!(sequences.is_sorted());
        assert!(sequences[0] == 0 && sequences[6] < u64::MAX);
        assert!(ids.iter().zip(&sequences).all(|(id, &sequence)| UNBASED.id(sequence) == *id));
        assert!(ids.iter().zip(&sequences).all(|(id, &sequence)| UNBASED.floor(id) == sequence));
        for none in ["", "1", "1-", "-1", "a-1", "1-1048576", "17592186044415-0", MICROS] {
            assert_eq!(UNBASED.sequence(none), None, "{none}");
        }
        assert_eq!(UNBASED.floor("1-1048576"), UNBASED.sequence("1-1048575").unwrap());
        assert!(UNBASED.covers("1-1048576") && !UNBASED.covers(MICROS) && UNBASED.covers(LAST_UNBASED_ID));
    }

    #[test]
    fn ids_beyond_the_space_have_positions_with_a_base() {
        for last in [MICROS, "1764519000000000000-5", "18446744073709551615-0"] {
            let epoch = UNBASED.renewed(8, last);
            assert_ne!(epoch.number(), UNBASED.number());
            let lowest = epoch.sequence(&epoch.lowest_id()).unwrap();
            assert!(lowest > 0 && epoch.sequence(last).unwrap() >= lowest, "{last}");
            assert_eq!(epoch.id(epoch.sequence(last).unwrap()), last);
            assert_eq!((epoch.sequence("1700000000000-7"), epoch.floor("1700000000000-7")), (None, 0));
            assert_eq!(StreamEpoch::parse(&epoch.to_string()), Some(epoch));
            // The next epoch keeps the base if the last id has a position with it.
            assert_eq!(epoch.renewed(9, last).base, epoch.base);
            assert_eq!(epoch.renewed(9, "1700000000000-7").base, 0);
        }
    }

    #[test]
    fn invalid_epochs_are_not_parsed() {
        assert_eq!(StreamEpoch::parse("0000000000000007"), Some(UNBASED));
        for none in
            ["", "7", "garbage", "+00000000000007f", "000000000000000A", "0000000000000007:", "0000000000000007:0"]
        {
            assert_eq!(StreamEpoch::parse(none), None, "{none}");
        }
        assert_eq!(StreamEpoch::parse("0000000000000007:18446744073709551616"), None);
    }
}
