//! The rules by which a client receives events, ends and gaps: they follow from the list of all events.

use tower_sse::hub::LagPolicy;

use super::{
    super::model::{End, Model, Record},
    Client,
};

impl Client {
    /// Returns the first known position at which the client ends. An end within missing events is missing, too, but within
    /// the snapshot none is.
    pub(super) fn end(&self, model: &Model) -> Option<u64> {
        let first_end = |after: u64| model.first_end(&self.topics, after, u64::MAX - 1, self.head).map(End::at);
        let end = first_end(self.begins)?;
        if end <= self.present_through { Some(end) } else { first_end(self.begins.max(self.last_missing(model))) }
    }

    /// Returns the first position at which the client may have ended, and the position through which that is forgotten, if that has
    /// to be reported.
    pub(super) fn must_report(&self, model: &Model) -> Option<(u64, u64)> {
        let joined_at = self.head.max(self.reported_ends.0);
        let end = self.forgotten(self.seen, joined_at, model)?;
        if end.0 <= self.present_through {
            return Some(end);
        }
        let is_behind_present = !self.is_in_present();
        self.forgotten(self.seen.max(self.last_missing(model)), joined_at, model).filter(|_| is_behind_present)
    }

    /// Returns the position through which an end is forgotten at which the client may have ended, if a gap may report it.
    pub(super) fn may_report(&self, model: &Model) -> Option<u64> {
        let joined_at = self.head.max(self.reported_ends.1);
        self.forgotten(self.reached.min(self.seen), joined_at, model).map(|(_, through)| through)
    }

    pub(super) fn forgotten(&self, seen: u64, joined_at: u64, model: &Model) -> Option<(u64, u64)> {
        match model.first_end(&self.topics, self.begins.max(seen), seen, joined_at)? {
            End::Forgotten { at, through } => Some((at, through)),
            End::At(_) => None,
        }
    }

    /// Returns the position before the last event that is missing, or was reported as missing.
    fn last_missing(&self, model: &Model) -> u64 {
        self.all_missing(model).next_back().unwrap_or(0).max(self.reported_to).saturating_sub(1)
    }

    /// Returns the next retained event that the client is to receive.
    pub(super) fn next(&self, model: &Model) -> Option<u64> {
        self.due(model).map(Record::number).find(|&sequence| sequence > self.reached)
    }

    /// Returns whether the client is still within its snapshot.
    pub(super) fn is_in_present(&self) -> bool {
        self.reached < self.present_through
    }

    pub(super) fn next_of_present(&self, model: &Model) -> Option<u64> {
        self.next(model).filter(|&next| next <= self.present_through)
    }

    /// Returns the position up to which something is missing without a gap sent.
    pub(super) fn missing(&self, model: &Model) -> Option<u64> {
        if self.is_in_present() {
            // A new client has no claim to any of them.
            return None;
        }
        let end = self.end(model).unwrap_or(u64::MAX);
        self.all_missing(model).rfind(|&sequence| sequence <= end)
    }

    fn all_missing<'a>(&'a self, model: &'a Model) -> impl DoubleEndedIterator<Item = u64> + 'a {
        let missing = model.events[self.reached as usize..]
            .iter()
            .filter(|event| self.before.binary_search(&event.sequence).is_err() && self.is_gone(event));
        missing.map(Record::number)
    }

    /// Returns whether an event that the client should have received is not retained any more.
    pub(super) fn is_gone(&self, event: &Record) -> bool {
        if event.is_bare || !self.topics.contains(&event.topic) {
            return false;
        }
        if event.is_removed {
            return true;
        }
        if event.sequence <= self.floor {
            let is_past =
                self.lag == LagPolicy::Conflate && event.key.is_some() && !event.is_latest && !event.was_latest;
            return !is_past;
        }
        match (self.lag, event.key) {
            // To a new client, evicted keys are the past.
            (LagPolicy::Conflate, Some(_)) => event.was_latest && event.sequence > self.joined_at,
            _ => !event.in_log,
        }
    }

    /// Returns the kept events that this client is still to receive, in order.
    pub(super) fn due<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a Record> {
        let end = self.end(model).unwrap_or(u64::MAX);
        let later = model.events[self.reached as usize..].iter();
        let mine = later.filter(move |event| self.topics.contains(&event.topic) && event.sequence <= end);
        mine.filter(|event| self.is_due(event, model))
    }

    pub(super) fn is_due(&self, event: &Record, model: &Model) -> bool {
        if event.sequence <= self.base.max(self.floor) || event.is_bare {
            return false;
        }
        if event.sequence <= self.present_through {
            let is_newest = |other: &Record| other.topic != event.topic || other.key.is_some() || !other.in_log;
            let newer = &model.events[event.sequence as usize..];
            return event.is_latest || (event.key.is_none() && event.in_log && newer.iter().all(is_newest));
        }
        match (self.lag, event.key) {
            (LagPolicy::Conflate, Some(_)) => event.is_latest,
            _ => event.in_log,
        }
    }
}
