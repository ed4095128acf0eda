//! Who is woken when a stream that has nothing is to act, and when that has to be said anew.

use std::{pin::Pin, task::Waker, time::Duration};

use tokio::time::Sleep;

use super::state::{Phase, State};

impl State {
    /// Waits for whoever asks for the end from outside.
    pub(crate) fn register_waker(&mut self, waker: &Waker) {
        self.record.register_waker(waker);
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
        }
    }

    /// Whether a stream that has given a frame, and now has nothing more, still waits for all that it waited for before
    /// that. To wait for it anew would be most of what an event costs here.
    pub(crate) fn waker_still_registered(&self, waker: &Waker, timer: Option<Pin<&Sleep>>) -> bool {
        let (Some(task), Some(timer)) = (&self.task, timer) else { return false };
        matches!(self.phase, Phase::Open)
            && self.record.last_poll_gave_frame()
            && task.will_wake(waker)
            // Had the timer fired by then, it would have to be armed again.
            && self.record.last_frame() + TIMER_STEP < timer.deadline()
            // A check of access that has answered has another to come, which may be sooner.
            && self.next_time().is_none_or(|at| timer.deadline() <= at)
    }
}

/// The timer can tell apart a millisecond.
const TIMER_STEP: Duration = Duration::from_millis(1);
