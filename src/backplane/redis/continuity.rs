//! Whether what was read goes on where it was left off.
//!
//! Pure. Reading after an entry gives what is there, whether or not something between is gone: bounds may have taken it, and
//! after a failover Redis may never have had it.

use super::{epoch::Epoch, id};

/// Where a node is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadPosition {
    pub(super) epoch: Epoch,
    /// The last id that was read.
    pub(super) last: String,
    /// How many entries the stream had ever had up to it, if that is known.
    pub(super) added: Option<u64>,
    /// Which run of which server it was read from, if that is known.
    pub(super) run: Option<String>,
}

/// What the stream says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) epoch: Option<Epoch>,
    /// Whether the last entry that was read is still there.
    pub(super) is_there: bool,
    /// The first entry that is there.
    pub(super) first: Option<String>,
    pub(super) length: u64,
    /// How many it ever had.
    pub(super) added: Option<u64>,
    /// The last id that it gave.
    pub(super) last: String,
    /// The last id that was deleted by name, if this Redis knows.
    pub(super) deleted: Option<String>,
    /// Which run of which server this is, if that is known.
    pub(super) run: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Nothing is missing between.
    Contiguous,
    /// What came next was let go before this node read it.
    Trimmed,
    /// It is not the history that was read.
    RolledBack,
    /// Another history has begun.
    NewEpoch,
}

impl ReadPosition {
    pub(super) fn check(&self, seen: &StreamInfo) -> Continuity {
        if seen.epoch != Some(self.epoch) {
            return Continuity::NewEpoch;
        }
        if seen.is_there || seen.last == self.last {
            return Continuity::Contiguous;
        }
        let [here, last] = [&self.last, &seen.last].map(|id| id::parts(id));
        if last < here {
            return Continuity::RolledBack;
        }
        if seen.first.as_deref().map(id::parts).is_some_and(|first| first < here) {
            // Bounds let the oldest go first: it was deleted by name, or was never there.
            return if self.was_deleted(seen) { Continuity::Contiguous } else { Continuity::RolledBack };
        }
        let (Some(now), Some(then)) = (seen.added, self.added) else { return Continuity::Trimmed };
        match now.checked_sub(then) {
            // A stream that had fewer, or has lost none, and what was read is not in it: the one that had it is gone.
            None => Continuity::RolledBack,
            Some(_) if then > 0 && now == seen.length => Continuity::RolledBack,
            // It was let go itself. That was all right if everything after it is there.
            Some(since) if since == seen.length => Continuity::Contiguous,
            Some(_) => Continuity::Trimmed,
        }
    }

    /// Returns whether the last entry that was read was deleted by name. Believed only of the run that it was read
    /// from: after a failover to a server that never had it, a later one that is deleted looks the same.
    fn was_deleted(&self, seen: &StreamInfo) -> bool {
        let is_same_run = self.run.is_some() && seen.run == self.run;
        let deleted = seen.deleted.as_deref().map(id::parts);
        is_same_run && deleted.is_some_and(|deleted| deleted >= id::parts(&self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::new(number, "0-0")
    }

    fn at(last: &str, added: u64) -> ReadPosition {
        ReadPosition { epoch: epoch(7), last: last.to_owned(), added: Some(added), run: Some("run".to_owned()) }
    }

    fn seen(first: &str, last: &str, length: u64, added: u64) -> StreamInfo {
        let first = (!first.is_empty()).then(|| first.to_owned());
        let (run, deleted) = (Some("run".to_owned()), Some("0-0".to_owned()));
        let (added, last) = (Some(added), last.to_owned());
        StreamInfo { epoch: Some(epoch(7)), is_there: false, first, length, added, last, deleted, run }
    }

    #[test]
    fn what_is_there_goes_on_and_what_is_not_does_not() {
        let place = at("50-0", 5);
        assert_eq!(place.check(&StreamInfo { is_there: true, ..seen("10-0", "60-0", 6, 6) }), Continuity::Contiguous);
        // Another epoch, or none.
        assert_eq!(
            place.check(&StreamInfo { epoch: Some(epoch(8)), ..seen("10-0", "60-0", 6, 6) }),
            Continuity::NewEpoch
        );
        assert_eq!(place.check(&StreamInfo { epoch: None, ..seen("", "0-0", 0, 0) }), Continuity::NewEpoch);
        // A failover: it was never there, whether or not something came since.
        assert_eq!(place.check(&seen("10-0", "40-0", 4, 4)), Continuity::RolledBack);
        assert_eq!(place.check(&seen("10-0", "60-0", 5, 5)), Continuity::RolledBack);
        assert_eq!(place.check(&seen("", "0-0", 0, 0)), Continuity::RolledBack);
    }

    #[test]
    fn the_bounds_take_what_was_read_and_nobody_has_missed_anything() {
        let place = at("50-0", 5);
        assert_eq!(place.check(&seen("", "50-0", 0, 5)), Continuity::Contiguous);
        assert_eq!(place.check(&seen("60-0", "70-0", 2, 7)), Continuity::Contiguous);
        // But not when they took more, or nobody counted.
        assert_eq!(place.check(&seen("70-0", "70-0", 1, 7)), Continuity::Trimmed);
        assert_eq!(place.check(&StreamInfo { added: None, ..seen("60-0", "70-0", 2, 7) }), Continuity::Trimmed);
        // Compared as numbers.
        assert_eq!(at("9-0", 1).check(&seen("10-0", "10-0", 1, 2)), Continuity::Contiguous);
    }

    /// The new one was taken for the one before, from which nothing is missing.
    #[test]
    fn a_stream_that_takes_the_place_of_another_is_another_history() {
        let place = at("50-0", 5);
        for entries in [1, 5, 7] {
            assert_eq!(place.check(&seen("60-0", "70-0", entries, entries)), Continuity::RolledBack, "{entries}");
        }
        // With fewer, of which some are gone already.
        assert_eq!(place.check(&seen("60-0", "70-0", 2, 4)), Continuity::RolledBack);
        // Not so the first of a stream that had none.
        assert_eq!(at("0-0", 0).check(&seen("10-0", "20-0", 2, 2)), Continuity::Contiguous);
        assert_eq!(at("0-0", 0).check(&seen("20-0", "20-0", 1, 2)), Continuity::Trimmed);
    }

    /// An entry that was deleted by name was taken for a rollback: all were told a gap and given everything again, each
    /// time that a worker deleted what it had done.
    #[test]
    fn an_entry_deleted_by_name_is_told_from_one_that_was_never_there() {
        let place = at("50-0", 5);
        let deleted = |deleted: &str, run: &str| StreamInfo {
            deleted: (!deleted.is_empty()).then(|| deleted.to_owned()),
            run: (!run.is_empty()).then(|| run.to_owned()),
            ..seen("10-0", "60-0", 5, 6)
        };
        assert_eq!(place.check(&deleted("50-0", "run")), Continuity::Contiguous);
        assert_eq!(place.check(&deleted("55-0", "run")), Continuity::Contiguous, "and others beside it");
        assert_eq!(place.check(&deleted("49-0", "run")), Continuity::RolledBack, "another one");
        // A failover beside a worker that deletes, a server that does not say, and one that does not know.
        assert_eq!(place.check(&deleted("60-0", "other")), Continuity::RolledBack);
        assert_eq!(place.check(&deleted("50-0", "")), Continuity::RolledBack);
        assert_eq!(place.check(&deleted("", "run")), Continuity::RolledBack);
        let unknown = ReadPosition { run: None, ..at("50-0", 5) };
        assert_eq!(unknown.check(&deleted("50-0", "")), Continuity::RolledBack);
        assert_eq!(unknown.check(&deleted("50-0", "run")), Continuity::RolledBack);
    }
}
