//! Provides a stream that calls a function at a period.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::time::deadline::saturating_deadline;

pin_project! {
    /// A stream of the results of a function, one for each period; made by [`Events::every`](crate::Events::every).
    pub struct Interval<F, Fut> {
        function: F,
        period: Duration,
        #[pin]
        pending: Option<Fut>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F, Fut> Interval<F, Fut> {
    pub(crate) fn new(period: Duration, function: F) -> Self {
        Self { function, period: period.max(Duration::from_millis(1)), pending: None, sleep: None }
    }
}

impl<F, Fut> Stream for Interval<F, Fut>
where
    F: FnMut() -> Fut,
    Fut: Future,
{
    type Item = Fut::Output;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fut::Output>> {
        let mut this = self.project();
        loop {
            if let Some(pending) = this.pending.as_mut().as_pin_mut() {
                let item = ready!(pending.poll(cx));
                this.pending.set(None);
                skip_missed_ticks(this.sleep.as_mut(), *this.period);
                return Poll::Ready(Some(item));
            }
            match this.sleep.as_mut().as_pin_mut() {
                None => this.sleep.set(Some(sleep_until(saturating_deadline(Instant::now(), *this.period)))),
                Some(mut sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    let tick = next_tick(sleep.deadline(), Instant::now(), *this.period);
                    sleep.reset(tick);
                }
            }
            let pending = (this.function)();
            this.pending.set(Some(pending));
        }
    }
}

impl<F, Fut> fmt::Debug for Interval<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval").field("period", &self.period).finish_non_exhaustive()
    }
}

/// Moves the next tick to a full period, if the future took longer than one.
fn skip_missed_ticks(sleep: Pin<&mut Option<Sleep>>, period: Duration) {
    let Some(sleep) = sleep.as_pin_mut() else { return };
    let (tick, now) = (sleep.deadline(), Instant::now());
    if tick < now {
        sleep.reset(next_tick(tick, now, period));
    }
}

/// Returns the first full period after a tick that is in the future: missed ticks are skipped.
fn next_tick(tick: Instant, now: Instant, period: Duration) -> Instant {
    let late = now.saturating_duration_since(tick).as_nanos() % period.as_nanos();
    let late = Duration::from_nanos(u64::try_from(late).unwrap_or(u64::MAX));
    saturating_deadline(now.checked_sub(late).unwrap_or(now), period)
}
