//! Provides the registration of a stream's task for requests and for its timer.

use std::task::Waker;

use super::{deadlines::Deadlines, timer::Timer};
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
    #[inline]
    pub(super) fn is_registered(
        &self,
        waker: &Waker,
        control: &StreamControl,
        timer: &Timer,
        deadlines: &Deadlines,
    ) -> bool {
        let Some(task) = &self.task else { return false };
        // A timer that has fired has to be armed again. The wheel's says so among the requests.
        control.last_poll_gave_frame()
            && task.will_wake(waker)
            && timer.is_waiting()
            // The next check of access may be sooner, once one has answered.
            && (deadlines.is_unlimited() || deadlines.next().is_none_or(|at| !timer.fires_after(at, control)))
    }
}
