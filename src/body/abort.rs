//! Provides the abort of a stream, whose client has to see that it is not complete: the last bytes, then an error.
//!
//! An error overtakes the bytes that a server still holds: hyper's HTTP/1 drops the connection before it writes its buffer, and
//! h2 clears the queue of the stream that it resets. So the last bytes are tracked until the server drops them, and the error
//! follows a moment later. Where nothing may be added to the bytes of the source, each frame is tracked, since it may be the
//! last.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

use crate::{error::BoxError, observe::Reason};

/// The rest of a stream that ends with an error.
#[derive(Debug)]
pub(crate) struct Abort {
    last: Option<Bytes>,
    /// `None` once the server has dropped the last bytes.
    held: Option<Arc<ReleaseFlag>>,
    timer: Option<Pin<Box<Sleep>>>,
    error: BoxError,
}

/// A flag for the release of tracked bytes, and the task that waits for it.
#[derive(Debug, Default)]
pub(crate) struct ReleaseFlag {
    is_released: AtomicBool,
    waker: AtomicWaker,
}

/// Bytes that set a flag when their last copy is dropped.
struct Tracked {
    bytes: Bytes,
    held: Arc<ReleaseFlag>,
}

impl Abort {
    /// Creates an abort after these last bytes, or after those before if there are none.
    pub(crate) fn new(last: Bytes, before: Option<Arc<ReleaseFlag>>, error: BoxError) -> Self {
        if last.is_empty() {
            // Without tracked bytes before, there is nothing to wait for.
            let held = Some(before.unwrap_or_else(ReleaseFlag::released));
            return Self { last: None, held, timer: None, error };
        }
        let (last, held) = ReleaseFlag::track(last);
        Self { last: Some(last), held: Some(held), timer: None, error }
    }

    /// Returns the last bytes, once.
    pub(crate) fn take_last(&mut self) -> Option<Bytes> {
        self.last.take()
    }

    /// Waits until the server has dropped the last bytes, and then for [`SETTLES_AFTER`].
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(held) = &self.held else {
            return self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx));
        };
        held.waker.register(cx.waker());
        if !held.is_released.load(Ordering::Acquire) {
            if self.timer.is_none() {
                self.timer = timer_for(HELD_FOR);
            }
            return self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx));
        }
        self.held = None;
        self.timer = timer_for(SETTLES_AFTER);
        if let Some(timer) = &mut self.timer {
            return timer.as_mut().poll(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(crate) fn into_error(self) -> BoxError {
        self.error
    }
}

/// Tracks the last frame of a stream whose abort may have no bytes of its own, and so waits for that frame.
#[derive(Debug, Default)]
pub(super) struct FrameTracker {
    /// `None` while frames are not tracked.
    last: Option<Arc<ReleaseFlag>>,
}

impl FrameTracker {
    /// Starts or stops tracking. Frames from before are not tracked.
    pub(super) fn enable(&mut self, is_enabled: bool) {
        if !is_enabled {
            self.last = None;
        } else if self.last.is_none() {
            self.last = Some(ReleaseFlag::released());
        }
    }

    /// Returns the bytes of a frame, which are tracked while that is enabled.
    #[inline]
    pub(super) fn track(&mut self, bytes: Bytes) -> Bytes {
        let Some(last) = &mut self.last else { return bytes };
        let (bytes, held) = ReleaseFlag::track(bytes);
        *last = held;
        bytes
    }

    /// Returns the flag of the last frame, and stops tracking.
    pub(super) fn take(&mut self) -> Option<Arc<ReleaseFlag>> {
        self.last.take()
    }
}

impl ReleaseFlag {
    /// Returns the same bytes, and the flag that is set when their last copy is dropped.
    pub(crate) fn track(bytes: Bytes) -> (Bytes, Arc<Self>) {
        let held = Arc::<Self>::default();
        (Bytes::from_owner(Tracked { bytes, held: Arc::clone(&held) }), held)
    }

    fn released() -> Arc<Self> {
        Arc::new(Self { is_released: AtomicBool::new(true), ..Self::default() })
    }
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.held.is_released.store(true, Ordering::Release);
        self.held.waker.wake();
    }
}

/// The error of a body whose stream ended early without another error as the cause.
///
/// See [`EarlyEnd`](crate::EarlyEnd).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlyEndError {
    reason: Reason,
}

impl EarlyEndError {
    pub(crate) fn new(reason: Reason) -> Self {
        Self { reason }
    }

    /// Returns the reason for which the stream ended.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for EarlyEndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream ended early: {}", self.reason)
    }
}

impl Error for EarlyEndError {}

/// Returns a timer, or `None` outside of a runtime.
fn timer_for(time: Duration) -> Option<Pin<Box<Sleep>>> {
    Handle::try_current().is_ok().then(|| Box::pin(sleep(time)))
}

/// The longest wait for a server to drop the last bytes: a slow client takes about this long for the bytes that hyper holds.
const HELD_FOR: Duration = Duration::from_secs(5);

/// The time from then to the error. An outer layer that copies the bytes has to pass them to the server, and the server has to
/// write them.
const SETTLES_AFTER: Duration = Duration::from_millis(50);
