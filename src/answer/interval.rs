//! A source that is asked at a pace.

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
    /// What [`Events::every`](crate::Events::every) makes of a source: a stream of what it gives, one at each period.
    pub struct Interval<F, Fut> {
        source: F,
        period: Duration,
        #[pin]
        asked: Option<Fut>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F, Fut> Interval<F, Fut> {
    pub(crate) fn new(period: Duration, source: F) -> Self {
        Self { source, period: period.max(Duration::from_millis(1)), asked: None, sleep: None }
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
            if let Some(asked) = this.asked.as_mut().as_pin_mut() {
                let item = ready!(asked.poll(cx));
                this.asked.set(None);
                skip_missed_ticks(this.sleep.as_mut(), *this.period);
                return Poll::Ready(Some(item));
            }
            match this.sleep.as_mut().as_pin_mut() {
                None => this.sleep.set(Some(sleep_until(saturating_deadline(Instant::now(), *this.period)))),
                Some(mut sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    let tick = after(sleep.deadline(), Instant::now(), *this.period);
                    sleep.reset(tick);
                }
            }
            let asked = (this.source)();
            this.asked.set(Some(asked));
        }
    }
}

impl<F, Fut> fmt::Debug for Interval<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Every").field("period", &self.period).finish_non_exhaustive()
    }
}

/// A source that took longer than its period is not asked again at once, but at the next full one.
fn skip_missed_ticks(sleep: Pin<&mut Option<Sleep>>, period: Duration) {
    let Some(sleep) = sleep.as_pin_mut() else { return };
    let (tick, now) = (sleep.deadline(), Instant::now());
    if tick < now {
        sleep.reset(after(tick, now, period));
    }
}

/// The first full period after a tick that is not over already: what was missed is not made up for.
fn after(tick: Instant, now: Instant, period: Duration) -> Instant {
    let late = now.saturating_duration_since(tick).as_nanos() % period.as_nanos();
    let late = Duration::from_nanos(u64::try_from(late).unwrap_or(u64::MAX));
    saturating_deadline(now.checked_sub(late).unwrap_or(now), period)
}
