//! Whether a stream is to end before its source does, and when that has to be looked at.

use std::{task::Context, time::Duration};

use tokio::time::Instant;

use super::state::{Ending, Phase, State};
use crate::streams::end_cause::EndCause;

/// A time that the stream does not outlive.
#[derive(Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) is_lifetime: bool,
}

impl Deadline {
    fn why(&self) -> EndCause {
        if self.is_lifetime { EndCause::Lifetime } else { EndCause::Deadline }
    }
}

impl State {
    /// Why the stream is to end now, if it is. A check of access that is under way is polled.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Option<EndCause> {
        if self.record.has_attached() {
            self.take_attached_later();
        }
        if let Some(why) = self.requested_end() {
            return Some(why);
        }
        if let Some(end) = self.end.as_ref().filter(|end| end.at <= Instant::now()) {
            return Some(end.why());
        }
        let withdrawn = self.checks.as_mut()?.poll(Instant::now(), cx)?;
        Some(EndCause::Revoked(withdrawn))
    }

    /// What somebody outside asks it to end for, if that is meant for it.
    fn requested_end(&self) -> Option<EndCause> {
        match self.record.requested_end()? {
            EndCause::Drain if self.finishes() => None,
            // It was to leave before, and is polled only now.
            EndCause::DrainDeadline if !self.finishes() => Some(EndCause::Drain),
            why => Some(why),
        }
    }

    /// Whether somebody outside has asked for something that is still to be done.
    pub(crate) fn end_requested(&self) -> bool {
        match &self.phase {
            Phase::Open => self.record.has_attached() || self.requested_end().is_some(),
            Phase::Ending(..) => self.is_cut_short(),
            _ => false,
        }
    }

    /// It waits for the end of an event, and a drain that was to be waited for comes to its own end.
    fn is_cut_short(&self) -> bool {
        let is_cut = matches!(self.record.requested_end(), Some(EndCause::DrainDeadline));
        is_cut && matches!(&self.phase, Phase::Ending(ending) if !matches!(ending.why, EndCause::DrainDeadline))
    }

    /// It is to end, and is within an event whose end may come.
    pub(crate) fn start_ending(&mut self, why: EndCause) {
        let grace = if matches!(why, EndCause::DrainDeadline) { GRACE_OF_A_CUT } else { GRACE };
        self.phase = Phase::Ending(Box::new(Ending { why, until: Instant::now() + grace }));
    }

    /// Why it ends within an event, if the time for that is over.
    pub(crate) fn grace_is_over(&self) -> Option<EndCause> {
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
