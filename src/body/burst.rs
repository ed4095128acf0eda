//! Provides the limit of what a stream of large events sends without a pause.

use std::time::Duration;

use tokio::time::Instant;

use super::source::FRAME_BYTES;
use crate::streams::control::StreamControl;

/// The bytes of large frames since the stream last had nothing to send, or paused.
#[derive(Debug, Default)]
pub(super) struct Burst {
    bytes: u32,
}

impl Burst {
    /// Counts a frame that is sent now, if it is large.
    pub(super) fn add(&mut self, frame: usize, control: &StreamControl, now: Instant) {
        if frame <= FRAME_BYTES {
            return;
        }
        // The server has sent earlier frames meanwhile.
        let is_later = control.last_frame() + BURST_RESET < now;
        let before = if is_later { 0 } else { self.bytes };
        self.bytes = before.saturating_add(u32::try_from(frame).unwrap_or(u32::MAX));
    }

    /// Returns whether the stream is to pause, so that the server sends what it has, and other tasks run.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BURST
    }
}

/// The bytes of large frames that a stream sends before a pause. hyper holds up to sixteen frames of any size: over 128 KiB,
/// glibc's allocator returns the memory to the system each time, and to get it again is a third of what large events cost.
const MAX_BURST: u32 = 64 * 1024;

/// Longer than a server takes to poll a stream again whose client reads.
const BURST_RESET: Duration = Duration::from_millis(100);
