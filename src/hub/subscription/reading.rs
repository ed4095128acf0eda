//! The outcome of a look at the topics: which events are given, and what is told before them, between them, or not at
//! all.
//!
//! A gap is found with the first look that finds something gone. How far it reaches is fixed then. What is kept up to there is
//! given first, and then the gap is told, with that position as its id: so one that is cut at any place comes back with an id
//! below which nothing is still to be told. What goes missing meanwhile, and is not within it, is a further gap.
//!
//! The end is the first position at which all topics are closed. What is behind it is not looked at. Where that is not known
//! any more, a gap is told in the place of the end.

use super::{NoticeAt, Output, Phase, Subscription, cold::OwedGap};
use super::{request::LagPolicy, resume::Notice};
use crate::{
    hub::state::{
        closings::End,
        found,
        found::{Budget, FoundEvent, Ids},
        read::{Floor, Query},
    },
    observe::Reason,
};

/// The events that are there, in order.
struct Look {
    events: Vec<FoundEvent>,
    ids: Ids,
    /// Everything that is kept up to here is among the events.
    reached: u64,
    /// Something is gone, the last of it here.
    missed: Option<u64>,
    /// The end, behind which nothing is among the events.
    end: Option<End>,
}

impl Subscription {
    /// Events as they are in the logs, and what there is to be told beside them.
    pub(super) fn read(&mut self, budget: Budget, first: &mut Option<Notice>) -> Option<Output> {
        let look = self.look(budget);
        let end = look.end;
        let owed = match (self.owed(), look.missed) {
            (None, Some(_)) if first.is_none() && self.is_too_slow() => return Some(self.end(Reason::Lagged)),
            (None, missed) => missed.map(|to| OwedGap { to, found_at: self.cursor }),
            (owed, _) => owed,
        };
        let given = match (first.take(), owed) {
            (Some(notice), _) => Some(self.tell_first(notice, look, budget)),
            (None, Some(owed)) => self.read_up_to_gap(owed, look, budget),
            (None, None) => self.give(look.events, look.ids, look.reached),
        };
        let gap = given.as_ref().and_then(Output::gap);
        self.comes_to(end, gap);
        if given.is_none() && self.owed().is_none() {
            return self.at_end();
        }
        given
    }

    /// Notes the end once everything up to there was given, or is held. A gap up to an end that is not known is told once.
    fn comes_to(&mut self, end: Option<End>, gap: Option<u64>) {
        let held = self.cold.as_ref().and_then(|aside| aside.held.as_ref());
        let at = held.map_or(self.cursor, |held| held.sequence);
        if let Some(end) = end.filter(|end| end.at() == at) {
            self.cold.get_or_insert_default().end = Some(end);
        }
        let Some(aside) = self.cold.as_mut().filter(|_| gap.is_some()) else { return };
        if let Some(End::Forgotten { through, .. }) = aside.end.filter(|end| Some(end.at()) == gap) {
            (aside.end, aside.over_at) = (None, through + 1);
        }
    }

    /// Returns whether everything up to an end was given, or is held.
    fn is_at_end(&self) -> bool {
        self.cold.as_ref().is_some_and(|aside| aside.end.is_some())
    }

    /// Ends, if it is at its end. Tells a gap where that is not known any more, and goes on behind it.
    pub(super) fn at_end(&mut self) -> Option<Output> {
        let aside = self.cold.as_mut()?;
        let End::Forgotten { through, .. } = aside.end? else { return Some(self.end(Reason::TopicClosed)) };
        (aside.end, aside.over_at) = (None, through + 1);
        if self.is_too_slow() {
            return Some(self.end(Reason::Lagged));
        }
        let told = NoticeAt { notice: Notice::Gap, at: Some(self.cursor), from: self.had(self.cursor), before: 0 };
        Some(Output::Events { told: Some(told), events: Vec::new(), ids: Ids::Own })
    }

    fn look(&mut self, budget: Budget) -> Look {
        let through = match () {
            () if self.is_at_end() => self.cursor,
            () if self.is_in_present() => self.present_through(),
            () => self.core.watermark(),
        };
        let (came_at, over_at) = self.cold.as_ref().map_or((0, 0), |aside| (aside.came_at, aside.over_at));
        let floor = self.floor().unwrap_or_default();
        let wish = Query { selection: self.take(), after: self.cursor, through, floor, came_at, seat: 0 };
        let mut look = self.cursors.look(&self.core, &self.epoch, wish, budget, over_at);
        // One of another history says nothing of this.
        let end = look.end.filter(|_| self.core.is_current(&self.epoch));
        let through = end.map_or(through, End::at);
        let cut = found::merge(&mut look.events, look.told, budget, self.epoch.prefix());
        let ids = match self.is_in_present() {
            true => Ids::Present { last: cut.is_none().then_some(through) },
            false => Ids::Own,
        };
        Look { events: look.events, ids, reached: cut.unwrap_or(through).max(self.cursor), missed: look.missed, end }
    }

    /// The greeting, or that the client's id is no position: told at a place after which nothing is untold.
    fn tell_first(&mut self, notice: Notice, look: Look, budget: Budget) -> Output {
        let Look { mut events, ids, reached, missed, .. } = look;
        let next = events.first().map_or(reached, |first| first.sequence - 1);
        let (at, owed) = match notice {
            // Told up to here: what is gone after it is another gap.
            Notice::Gap => (Some(next), missed.filter(|&missed| missed > next)),
            // One that is cut right after it has not got the present: it shall come back as a new one.
            Notice::Greeting if ids != Ids::Own && !events.is_empty() => (None, None),
            // One that is cut right after it has not been told of what is gone.
            Notice::Greeting => (Some(missed.map_or(next, |_| self.cursor)), missed),
        };
        let from = self.had(self.cursor);
        if let Some(to) = owed {
            self.cold.get_or_insert_default().owed = Some(OwedGap { to, found_at: self.cursor });
        }
        let cursor = if budget.is_one() {
            // One thing at a time: what follows is looked for again.
            events.clear();
            at.unwrap_or(self.cursor)
        } else {
            owed.inspect(|&to| cut_after(&mut events, to)).map_or(reached, |to| reached.min(to))
        };
        self.has_read(cursor, !events.is_empty());
        Output::Events { told: Some(NoticeAt { notice, at, from, before: 0 }), events, ids }
    }

    /// Gives what is kept up to the end of a gap, and then the gap, and then what follows it.
    fn read_up_to_gap(&mut self, owed: OwedGap, look: Look, budget: Budget) -> Option<Output> {
        let OwedGap { to, found_at } = owed;
        let Look { mut events, ids, reached, missed, .. } = look;
        let before = events.partition_point(|event| event.sequence <= to);
        let gives_one = budget.is_one() && before > 0;
        if reached < to || gives_one {
            self.cold.get_or_insert_default().owed = Some(owed);
            let reached = if gives_one { events[0].sequence } else { reached };
            return self.give(events, ids, reached);
        }
        let mut cursor = reached;
        let mut held = None;
        if missed.is_some_and(|missed| missed > to) {
            // A further gap: what follows it is not given before it is told.
            cut_after(&mut events, to);
            cursor = to;
        } else if budget.is_one() {
            // Were it looked for again, a reader that is always too slow would be told gap after gap, and given nothing.
            held = events.pop();
            cursor = to;
        }
        if held.is_some() || self.cold.is_some() {
            let aside = self.cold.get_or_insert_default();
            (aside.owed, aside.held) = (None, held);
        }
        self.has_read(cursor, !events.is_empty());
        let told = NoticeAt { notice: Notice::Gap, at: Some(to), from: self.had(found_at), before };
        Some(Output::Events { told: Some(told), events, ids })
    }

    pub(super) fn give(&mut self, events: Vec<FoundEvent>, ids: Ids, reached: u64) -> Option<Output> {
        self.has_read(reached, !events.is_empty());
        (!events.is_empty()).then_some(Output::Events { told: None, events, ids })
    }

    /// Returns the past that the client may not see, as long as that can make a difference.
    pub(super) fn floor(&self) -> Option<Floor> {
        let (floor, through) = self.cold.as_ref()?.floor?;
        (self.cursor < through).then_some(floor)
    }

    /// The gap that has been found and is not told yet.
    pub(super) fn owed(&self) -> Option<OwedGap> {
        self.cold.as_ref()?.owed
    }

    /// Only one that has read something since it came can be too slow: so each connection comes ahead.
    fn is_too_slow(&self) -> bool {
        self.lag == LagPolicy::Disconnect && matches!(self.phase, Phase::Runs { has_read: true })
    }
}

impl Output {
    /// Returns the end of the gap that is told.
    fn gap(&self) -> Option<u64> {
        match self {
            Self::Events { told: Some(NoticeAt { notice: Notice::Gap, at, .. }), .. } => *at,
            _ => None,
        }
    }
}

fn cut_after(events: &mut Vec<FoundEvent>, to: u64) {
    events.truncate(events.partition_point(|event| event.sequence <= to));
}
