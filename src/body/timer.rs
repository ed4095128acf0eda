//! Provides the timer of a stream: an entry in the wheel of its runtime, or a timer of its own for what is near and exact.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::wheel;
use crate::{streams::control::StreamControl, time::alarm::Alarm};

/// The timer of a stream. It may fire before the alarm that it is armed for, never after it, and has to be armed again then.
#[derive(Debug, Default)]
pub(super) struct Timer {
    /// Used for an alarm that the wheel is too coarse for.
    exact: Option<Pin<Box<Sleep>>>,
    /// The time at which it fires, in microseconds since the stream was opened, or 0 if it is not armed.
    fires_at: u64,
}

impl Timer {
    pub(super) fn is_armed(&self) -> bool {
        self.fires_at > 0
    }

    /// Returns whether the timer is armed, and did not fire: the stream is woken when it does.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.is_armed() && self.exact.as_ref().is_none_or(|exact| !exact.is_elapsed())
    }

    /// Returns whether the timer fires after this time.
    pub(super) fn fires_after(&self, at: Instant, stream: &StreamControl) -> bool {
        stream.micros_at(at) < self.fires_at
    }

    /// Arms the timer, in place of what it was armed for.
    ///
    /// Panics outside of a runtime: a stream without the heartbeats and deadlines that are set would look like one that has
    /// them.
    pub(super) fn arm(&mut self, alarm: Alarm, stream: &Arc<StreamControl>) {
        let fires_at = wheel::arm(stream, alarm, Instant::now());
        self.fires_at = stream.micros_at(fires_at.unwrap_or(alarm.at)).max(1);
        match (&mut self.exact, fires_at) {
            (exact, Some(_)) => *exact = None,
            (Some(exact), None) => exact.as_mut().reset(alarm.at),
            (exact, None) => *exact = Some(Box::pin(sleep_until(alarm.at))),
        }
    }

    pub(super) fn disarm(&mut self) {
        *self = Self::default();
    }

    /// Waits until the timer fires. It is not armed then.
    #[inline]
    pub(super) fn poll(&mut self, stream: &StreamControl, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(exact) = &mut self.exact {
            // Unconstrained, since a timer of a task without budget registers no waker, and an event does not poll it again.
            ready!(pin!(unconstrained(exact.as_mut())).poll(cx));
        } else if !stream.has_timer_fired(|| self.fires_at) {
            return Poll::Pending;
        }
        self.fires_at = 0;
        Poll::Ready(())
    }
}
