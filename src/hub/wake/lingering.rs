//! The topics that a pump holds while they linger, in order of the time at which each is due.
//!
//! One timer serves all of them. It is tokio's, whose resolution is a millisecond: it is set a millisecond early, so that a
//! topic is not held longer than asked.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use self::timer::Sleep;
use crate::panic;

/// The topics that a pump holds. `T` is the topic.
#[derive(Debug)]
pub(super) struct Lingering<T> {
    /// By time, in milliseconds of the hub's clock, and address.
    held: BTreeMap<(u64, usize), Held<T>>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The runtime has no timers.
    is_unavailable: bool,
}

#[derive(Debug)]
struct Held<T> {
    /// Does not keep the topic: all its subscribers may leave meanwhile.
    topic: Weak<T>,
    at: Instant,
}

impl<T> Lingering<T> {
    pub(super) fn new() -> Self {
        Self { held: BTreeMap::new(), sleep: None, is_unavailable: false }
    }

    /// Holds a topic until this time, which is this instant. Returns `false` if the runtime has no timers.
    pub(super) fn hold(&mut self, topic: &Arc<T>, until: u64, at: Instant) -> bool {
        if self.sleep.is_none() && !self.is_unavailable {
            // Panics in a runtime without timers, which cannot be asked for in another way.
            self.sleep = panic::catch(|| Box::pin(timer::sleep_until(at)));
            self.is_unavailable = self.sleep.is_none();
        }
        if self.is_unavailable {
            return false;
        }
        let at = at.checked_sub(RESOLUTION).unwrap_or(at);
        self.held.insert(key(topic, until), Held { topic: Arc::downgrade(topic), at });
        true
    }

    /// Releases a topic that was held until this time.
    pub(super) fn release(&mut self, topic: &Arc<T>, until: u64) {
        self.held.remove(&key(topic, until));
    }

    /// Polls for a topic that is due. Returns it with the time until which it was held.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<(Arc<T>, u64)> {
        while let Some((_, held)) = self.held.first_key_value() {
            let at = held.at;
            ready!(self.poll_sleep(at, cx));
            let due = self.held.pop_first();
            if let Some((topic, until)) = due.and_then(|((until, _), held)| Some((held.topic.upgrade()?, until))) {
                return Poll::Ready((topic, until));
            }
        }
        Poll::Pending
    }

    /// Polls the timer of this instant.
    fn poll_sleep(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = self.sleep.as_mut().filter(|_| at > Instant::now()) else { return Poll::Ready(()) };
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

fn key<T>(topic: &Arc<T>, until: u64) -> (u64, usize) {
    (until, Arc::as_ptr(topic) as usize)
}

/// The resolution of tokio's timer, which rounds up.
const RESOLUTION: Duration = Duration::from_millis(1);

#[cfg(not(all(test, tower_sse_loom)))]
mod timer {
    pub(super) use tokio::time::{Sleep, sleep_until};
}

/// A timer for loom's models, in which no time passes: it is over when it is polled again.
#[cfg(all(test, tower_sse_loom))]
mod timer {
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::time::Instant;

    #[derive(Debug)]
    pub(super) struct Sleep {
        deadline: Instant,
        was_polled: bool,
    }

    pub(super) fn sleep_until(deadline: Instant) -> Sleep {
        Sleep { deadline, was_polled: false }
    }

    impl Sleep {
        pub(super) fn deadline(&self) -> Instant {
            self.deadline
        }

        pub(super) fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
            *self = sleep_until(deadline);
        }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.was_polled {
                return Poll::Ready(());
            }
            self.was_polled = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
