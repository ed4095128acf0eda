//! What is known of a stream from outside its body.
//!
//! hyper does not poll the body of a client that has stopped reading, so nothing within the body can act for it: what
//! must happen then happens here. The body notes each poll; whoever holds the record can see how long ago that was, and
//! can ask the stream to end.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::Reason;

/// Shared by a body and those who watch over it. One writer, the body; any number of readers.
#[derive(Debug)]
pub(crate) struct Record {
    opened: Instant,
    /// Microseconds from `opened` to the last frame, and in the lowest bit whether the last poll gave one.
    last: AtomicU64,
    /// What it was asked to end for, by [`code`].
    asked: AtomicU8,
    waker: AtomicWaker,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self { opened: Instant::now(), last: AtomicU64::new(0), asked: AtomicU8::new(0), waker: AtomicWaker::new() }
    }

    /// When the last frame was given, or the stream opened.
    pub(crate) fn last_frame(&self) -> Instant {
        self.opened + Duration::from_micros(self.last.load(Ordering::Relaxed) >> 1)
    }

    /// A poll gives a frame.
    pub(crate) fn gave_frame(&self, now: Instant) {
        let micros = now.saturating_duration_since(self.opened).as_micros();
        self.last.store((u64::try_from(micros).unwrap_or(u64::MAX) << 1) | 1, Ordering::Relaxed);
    }

    /// A poll gives nothing, and this task is to be woken when the stream is asked to end.
    pub(crate) fn waits(&self, waker: &Waker) {
        self.last.store(self.last.load(Ordering::Relaxed) & !1, Ordering::Relaxed);
        self.waker.register(waker);
    }

    /// Asks the stream to end, for this reason, and wakes it. The first to ask is heard.
    #[cfg_attr(not(test), expect(dead_code, reason = "drain, lifetimes and the watchdog ask; they come with them"))]
    pub(crate) fn ask_to_end(&self, reason: Reason) {
        let first = self.asked.compare_exchange(0, code(reason), Ordering::Release, Ordering::Relaxed);
        if first.is_ok() {
            self.waker.wake();
        }
    }

    /// What it was asked to end for.
    pub(crate) fn asked(&self) -> Option<Reason> {
        let asked = self.asked.load(Ordering::Acquire);
        // Not asked is by far the most likely.
        if asked == 0 { None } else { REASONS.iter().copied().find(|&reason| code(reason) == asked) }
    }

    /// Why a body was dropped before its end: a last poll that waited for events means that the client left; one that
    /// gave a frame, long ago, means that nobody read it.
    pub(crate) fn why_dropped(&self) -> Reason {
        let gave = self.last.load(Ordering::Relaxed) & 1 == 1;
        if gave && self.last_frame().elapsed() >= STALLED_AFTER { Reason::Stalled } else { Reason::ClientGone }
    }
}

/// 0 is for not asked.
fn code(reason: Reason) -> u8 {
    1 + REASONS.iter().position(|&other| other == reason).map_or(0, |at| u8::try_from(at).unwrap_or(0))
}

/// Those that can be asked for.
const REASONS: [Reason; 1] = [Reason::Deadline];

/// Longer than a proxy or a phone takes to go on reading.
const STALLED_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_asks_is_heard_and_wakes_the_stream_once() {
        let (record, wakes) = (Record::new(), Arc::new(Wakes::default()));
        record.waits(&wakes.clone().into());
        assert_eq!(record.asked(), None);
        record.ask_to_end(Reason::Deadline);
        record.ask_to_end(Reason::Deadline);
        assert_eq!(record.asked(), Some(Reason::Deadline));
        assert_eq!(wakes.0.load(SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_whose_last_poll_gave_a_frame_long_ago_was_stalled() {
        let record = Record::new();
        tokio::time::advance(STALLED_AFTER).await;
        assert_eq!(record.why_dropped(), Reason::ClientGone, "never polled");
        record.gave_frame(Instant::now());
        assert_eq!(record.why_dropped(), Reason::ClientGone, "a frame just now");
        tokio::time::advance(STALLED_AFTER).await;
        assert_eq!(record.why_dropped(), Reason::Stalled);
        record.waits(std::task::Waker::noop());
        assert_eq!(record.why_dropped(), Reason::ClientGone, "it waited for events");
        assert_eq!(record.last_frame() + STALLED_AFTER, Instant::now(), "waiting keeps the time of the frame");
    }
}
