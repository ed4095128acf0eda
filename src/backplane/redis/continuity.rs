//! Detection of whether a read continues the stream without a gap.
//!
//! Pure. A read after an entry returns the entries that the stream has now. Entries between may be missing: Redis may have
//! trimmed them, and after a failover it may never have had them. `read.lua` finds the facts in one step with the read, and
//! [`tail`](super::tail) judges the first load of a node, which continues nothing.

use super::{epoch::StreamEpoch, id};

/// The position up to which a node has read the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadPosition {
    pub(super) epoch: StreamEpoch,
    /// The last id that was read.
    pub(super) last: String,
    /// The number of entries that were ever added up to `last`, if known.
    pub(super) added: Option<u64>,
    /// The run of the server that it was read from, if known.
    pub(super) server_run: Option<String>,
}

/// The state of the stream at a read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) epoch: Option<StreamEpoch>,
    /// `true` if the stream still has the entry at the reader's position.
    pub(super) has_cursor: bool,
    /// The id of the first entry, if the stream has any.
    pub(super) first: Option<String>,
    pub(super) length: u64,
    /// The number of entries that were ever added, if this Redis counts them.
    pub(super) added: Option<u64>,
    /// The last id that was assigned.
    pub(super) last: String,
    /// The highest id that was deleted by `XDEL`, if this Redis reports it.
    pub(super) deleted: Option<String>,
    /// The run of the server, if known.
    pub(super) server_run: Option<String>,
}

/// The relation of a read to the position before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// No entry is missing in between.
    Contiguous,
    /// The next entries were trimmed before this node read them.
    Trimmed,
    /// The stream is not the one that was read: it was rolled back or replaced.
    RolledBack,
    /// Another epoch has begun.
    NewEpoch,
}

impl ReadPosition {
    /// Compares this position with the state of the stream at the next read.
    pub(super) fn check(&self, stream: &StreamInfo) -> Continuity {
        if stream.epoch != Some(self.epoch) {
            return Continuity::NewEpoch;
        }
        if stream.has_cursor || stream.last == self.last {
            return Continuity::Contiguous;
        }
        let [read, last] = [&self.last, &stream.last].map(|id| id::parts(id));
        if last < read {
            return Continuity::RolledBack;
        }
        if stream.first.as_deref().map(id::parts).is_some_and(|first| first < read) {
            // Trimming starts with the oldest entry, so this one was deleted by `XDEL` or never existed here.
            return if self.was_deleted(stream) { Continuity::Contiguous } else { Continuity::RolledBack };
        }
        let (Some(now), Some(then)) = (stream.added, self.added) else { return Continuity::Trimmed };
        match now.checked_sub(then) {
            // A stream that has had fewer entries, or has lost none, and lacks this one: it is not the stream that was read.
            None => Continuity::RolledBack,
            Some(_) if then > 0 && now == stream.length => Continuity::RolledBack,
            // The entry itself was trimmed. No entry is missing if the stream has all later ones.
            Some(since) if since == stream.length => Continuity::Contiguous,
            Some(_) => Continuity::Trimmed,
        }
    }

    /// Returns whether the last entry that was read was deleted by `XDEL`. Only the run of the server that it was read from can
    /// tell: after a failover to a server that never had the entry, the deletion of a later entry looks the same.
    fn was_deleted(&self, stream: &StreamInfo) -> bool {
        let is_same_run = self.server_run.is_some() && stream.server_run == self.server_run;
        let deleted = stream.deleted.as_deref().map(id::parts);
        is_same_run && deleted.is_some_and(|deleted| deleted >= id::parts(&self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64) -> StreamEpoch {
        StreamEpoch::new(number, "0-0")
    }

    fn at(last: &str, added: u64) -> ReadPosition {
        ReadPosition { epoch: epoch(7), last: last.to_owned(), added: Some(added), server_run: Some("run".to_owned()) }
    }

    fn stream(first: &str, last: &str, length: u64, added: u64) -> StreamInfo {
        let first = (!first.is_empty()).then(|| first.to_owned());
        let (server_run, deleted) = (Some("run".to_owned()), Some("0-0".to_owned()));
        let (added, last) = (Some(added), last.to_owned());
        StreamInfo { epoch: Some(epoch(7)), has_cursor: false, first, length, added, last, deleted, server_run }
    }

    #[test]
    fn read_after_a_present_entry_is_contiguous() {
        let place = at("50-0", 5);
        assert_eq!(
            place.check(&StreamInfo { has_cursor: true, ..stream("10-0", "60-0", 6, 6) }),
            Continuity::Contiguous
        );
        // Another epoch, or an invalid one.
        assert_eq!(
            place.check(&StreamInfo { epoch: Some(epoch(8)), ..stream("10-0", "60-0", 6, 6) }),
            Continuity::NewEpoch
        );
        assert_eq!(place.check(&StreamInfo { epoch: None, ..stream("", "0-0", 0, 0) }), Continuity::NewEpoch);
        // A failover: this server never had the entry, whether or not entries were added since.
        assert_eq!(place.check(&stream("10-0", "40-0", 4, 4)), Continuity::RolledBack);
        assert_eq!(place.check(&stream("10-0", "60-0", 5, 5)), Continuity::RolledBack);
        assert_eq!(place.check(&stream("", "0-0", 0, 0)), Continuity::RolledBack);
    }

    #[test]
    fn trimming_of_read_entries_is_contiguous() {
        let place = at("50-0", 5);
        assert_eq!(place.check(&stream("", "50-0", 0, 5)), Continuity::Contiguous);
        assert_eq!(place.check(&stream("60-0", "70-0", 2, 7)), Continuity::Contiguous);
        // But not if later entries were trimmed too, or if this Redis does not count entries.
        assert_eq!(place.check(&stream("70-0", "70-0", 1, 7)), Continuity::Trimmed);
        assert_eq!(place.check(&StreamInfo { added: None, ..stream("60-0", "70-0", 2, 7) }), Continuity::Trimmed);
        // Ids are compared as numbers.
        assert_eq!(at("9-0", 1).check(&stream("10-0", "10-0", 1, 2)), Continuity::Contiguous);
    }

    /// The new stream was taken for the old one without missing entries.
    #[test]
    fn replacement_of_the_stream_is_a_rollback() {
        let place = at("50-0", 5);
        for entries in [1, 5, 7] {
            assert_eq!(place.check(&stream("60-0", "70-0", entries, entries)), Continuity::RolledBack, "{entries}");
        }
        // With fewer entries, some of which are trimmed already.
        assert_eq!(place.check(&stream("60-0", "70-0", 2, 4)), Continuity::RolledBack);
        // But not the first entries of a stream that was empty.
        assert_eq!(at("0-0", 0).check(&stream("10-0", "20-0", 2, 2)), Continuity::Contiguous);
        assert_eq!(at("0-0", 0).check(&stream("20-0", "20-0", 1, 2)), Continuity::Trimmed);
    }

    /// An entry that was deleted by `XDEL` was taken for a rollback: each time that a worker deleted its finished job, all
    /// subscribers received a gap and all events again.
    #[test]
    fn deleted_entry_is_no_rollback_on_the_same_server_run() {
        let place = at("50-0", 5);
        let deleted = |deleted: &str, run: &str| StreamInfo {
            deleted: (!deleted.is_empty()).then(|| deleted.to_owned()),
            server_run: (!run.is_empty()).then(|| run.to_owned()),
            ..stream("10-0", "60-0", 5, 6)
        };
        assert_eq!(place.check(&deleted("50-0", "run")), Continuity::Contiguous);
        assert_eq!(place.check(&deleted("55-0", "run")), Continuity::Contiguous, "and later ones");
        assert_eq!(place.check(&deleted("49-0", "run")), Continuity::RolledBack, "an earlier one only");
        // A failover with a deletion, a server that reports no run, and one that reports no deleted id.
        assert_eq!(place.check(&deleted("60-0", "other")), Continuity::RolledBack);
        assert_eq!(place.check(&deleted("50-0", "")), Continuity::RolledBack);
        assert_eq!(place.check(&deleted("", "run")), Continuity::RolledBack);
        let unknown = ReadPosition { server_run: None, ..at("50-0", 5) };
        assert_eq!(unknown.check(&deleted("50-0", "")), Continuity::RolledBack);
        assert_eq!(unknown.check(&deleted("50-0", "run")), Continuity::RolledBack);
    }
}
