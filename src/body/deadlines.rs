//! Whether a stream is to end before its source does, and when that has to be looked at.

use std::{task::Context, time::Duration};

use tokio::time::Instant;

use super::state::{Ending, Phase, State};
use crate::streams::end_cause::Why;

/// A time that the stream does not outlive.
#[derive(Debug)]
pub(super) struct End {
    pub(super) at: Instant,
    pub(super) is_lifetime: bool,
}

impl End {
    fn why(&self) -> Why {
        if self.is_lifetime { Why::Lifetime } else { Why::Deadline }
    }
}

impl State {
    /// Why the stream is to end now, if it is. A check of access that is under way is polled.
    pub(crate) fn over(&mut self, cx: &mut Context<'_>) -> Option<Why> {
        if self.record.has_attached() {
            self.take_attached_later();
        }
        if let Some(why) = self.asked() {
            return Some(why);
        }
        if let Some(end) = self.end.as_ref().filter(|end| end.at <= Instant::now()) {
            return Some(end.why());
        }
        let withdrawn = self.checks.as_mut()?.poll(Instant::now(), cx)?;
        Some(Why::Withdrawn(withdrawn))
    }

    /// What somebody outside asks it to end for, if that is meant for it.
    fn asked(&self) -> Option<Why> {
        match self.record.asked()? {
            Why::Drain if self.finishes() => None,
            // It was to leave before, and is polled only now.
            Why::Cut if !self.finishes() => Some(Why::Drain),
            why => Some(why),
        }
    }

    /// Whether somebody outside has asked for something that is still to be done.
    pub(crate) fn has_been_asked(&self) -> bool {
        match &self.phase {
            Phase::Open => self.record.has_attached() || self.asked().is_some(),
            Phase::Ending(..) => self.is_cut_short(),
            _ => false,
        }
    }

    /// It waits for the end of an event, and a drain that was to be waited for comes to its own end.
    fn is_cut_short(&self) -> bool {
        let is_cut = matches!(self.record.asked(), Some(Why::Cut));
        is_cut && matches!(&self.phase, Phase::Ending(ending) if !matches!(ending.why, Why::Cut))
    }

    /// It is to end, and is within an event whose end may come.
    pub(crate) fn begin_to_end(&mut self, why: Why) {
        let grace = if matches!(why, Why::Cut) { GRACE_OF_A_CUT } else { GRACE };
        self.phase = Phase::Ending(Box::new(Ending { why, until: Instant::now() + grace }));
    }

    /// Why it ends within an event, if the time for that is over.
    pub(crate) fn grace_is_over(&self) -> Option<Why> {
        let Phase::Ending(ending) = &self.phase else { return None };
        (ending.until <= Instant::now() || self.is_cut_short()).then(|| ending.why.clone())
    }

    /// Whether the timer fired for something else than a heartbeat.
    pub(crate) fn is_time(&self, now: Instant) -> bool {
        self.next_time().is_some_and(|at| at <= now)
    }

    /// When something else than a heartbeat is due.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        if let Phase::Ending(ending) = &self.phase {
            return Some(ending.until);
        }
        let check = self.checks.as_ref().map(|checks| checks.next_look());
        [self.end.as_ref().map(|end| end.at), check].into_iter().flatten().min()
    }
}

/// How long a stream that is to end waits for the end of the event that it is in.
const GRACE: Duration = Duration::from_secs(5);

/// The same before the deadline of a drain, which leaves a second for all.
const GRACE_OF_A_CUT: Duration = Duration::from_millis(500);
