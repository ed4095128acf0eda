//! Provides the registration of a stream's task for requests and for its timer.

use std::{pin::Pin, task::Waker, time::Duration};

use tokio::time::Sleep;

use super::deadlines::Deadlines;
use crate::streams::control::StreamControl;

/// The task that is registered with the control block, and with the timer.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    task: Option<Waker>,
}

impl Wakeup {
    /// Registers the task for requests to end the stream, and marks the poll as pending.
    pub(super) fn register(&mut self, waker: &Waker, control: &StreamControl) {
        control.register_waker(waker);
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
        }
    }

    /// Forgets the registration, since the timer changes.
    pub(super) fn invalidate(&mut self) {
        self.task = None;
    }

    /// Returns whether all is still registered for a stream that has sent a frame, and now has nothing more. To register
    /// again would be most of what an event costs here.
    pub(super) fn is_registered(
        &self,
        waker: &Waker,
        control: &StreamControl,
        timer: Option<Pin<&Sleep>>,
        deadlines: &Deadlines,
    ) -> bool {
        let (Some(task), Some(timer)) = (&self.task, timer) else { return false };
        control.last_poll_gave_frame()
            && task.will_wake(waker)
            // A timer that has fired by then would have to be armed again.
            && control.last_frame() + TIMER_STEP < timer.deadline()
            // The next check of access may be sooner, once one has answered.
            && deadlines.next().is_none_or(|at| timer.deadline() <= at)
    }
}

/// The resolution of the timer.
const TIMER_STEP: Duration = Duration::from_millis(1);
