//! Whether what was read goes on where it was left off.
//!
//! Pure. Reading after an entry gives what is there, whether or not something between is gone: bounds may have taken it, and
//! after a failover Redis may never have had it.

use super::id;

/// Where a node is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: u64,
    /// The last id that was read.
    pub(super) last: String,
    /// How many entries the stream had ever had up to it, if that is known.
    pub(super) added: Option<u64>,
}

/// What the stream says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) epoch: Option<u64>,
    /// Whether the last entry that was read is still there.
    pub(super) is_there: bool,
    /// The first entry that is there.
    pub(super) first: Option<String>,
    pub(super) length: u64,
    /// How many it ever had.
    pub(super) added: Option<u64>,
    /// The last id that it gave.
    pub(super) last: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is missing between.
    GoesOn,
    /// What came next was let go before this node read it.
    Missed,
    /// It is not the history that was read.
    RolledBack,
    /// Another history has begun.
    Renewed,
}

impl Place {
    pub(super) fn judge(&self, seen: &Seen) -> Verdict {
        if seen.epoch != Some(self.epoch) {
            return Verdict::Renewed;
        }
        if seen.is_there || seen.last == self.last {
            return Verdict::GoesOn;
        }
        let [here, last] = [&self.last, &seen.last].map(|id| id::parts(id));
        let first = seen.first.as_deref().map(id::parts);
        if last < here || first.is_some_and(|first| first < here) {
            return Verdict::RolledBack;
        }
        // It was let go itself. That was all right if everything after it is there.
        match (seen.added, self.added) {
            (Some(now), Some(then)) if now.checked_sub(then) == Some(seen.length) => Verdict::GoesOn,
            _ => Verdict::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: &str, added: u64) -> Place {
        Place { epoch: 7, last: last.to_owned(), added: Some(added) }
    }

    fn seen(first: &str, last: &str, length: u64, added: u64) -> Seen {
        let first = (!first.is_empty()).then(|| first.to_owned());
        Seen { epoch: Some(7), is_there: false, first, length, added: Some(added), last: last.to_owned() }
    }

    #[test]
    fn what_is_there_goes_on_and_what_is_not_does_not() {
        let place = at("50-0", 5);
        assert_eq!(place.judge(&Seen { is_there: true, ..seen("10-0", "60-0", 6, 6) }), Verdict::GoesOn);
        // Another epoch, or none.
        assert_eq!(place.judge(&Seen { epoch: Some(8), ..seen("10-0", "60-0", 6, 6) }), Verdict::Renewed);
        assert_eq!(place.judge(&Seen { epoch: None, ..seen("", "0-0", 0, 0) }), Verdict::Renewed);
        // A failover: it was never there, whether or not something came since.
        assert_eq!(place.judge(&seen("10-0", "40-0", 4, 4)), Verdict::RolledBack);
        assert_eq!(place.judge(&seen("10-0", "60-0", 5, 5)), Verdict::RolledBack);
        assert_eq!(place.judge(&seen("", "0-0", 0, 0)), Verdict::RolledBack);
    }

    #[test]
    fn the_bounds_take_what_was_read_and_nobody_has_missed_anything() {
        let place = at("50-0", 5);
        assert_eq!(place.judge(&seen("", "50-0", 0, 5)), Verdict::GoesOn);
        assert_eq!(place.judge(&seen("60-0", "70-0", 2, 7)), Verdict::GoesOn);
        // But not when they took more, or nobody counted.
        assert_eq!(place.judge(&seen("70-0", "70-0", 1, 7)), Verdict::Missed);
        assert_eq!(place.judge(&Seen { added: None, ..seen("60-0", "70-0", 2, 7) }), Verdict::Missed);
        // Compared as numbers.
        assert_eq!(at("9-0", 1).judge(&seen("10-0", "10-0", 1, 2)), Verdict::GoesOn);
    }
}
