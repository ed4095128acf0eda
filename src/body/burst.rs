//! Provides the limit of what a stream of large events sends without a pause.

use std::time::Duration;

use tokio::time::Instant;

use super::source::FRAME_BYTES;
use crate::streams::control::StreamControl;

/// The bytes of large frames since the stream last had nothing to send, or paused. [`FULL`] once another frame as large as the
/// last does not fit.
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
        let frame = u32::try_from(frame).unwrap_or(FULL);
        let bytes = before.saturating_add(frame);
        self.bytes = if bytes.saturating_add(frame) > MAX_BURST { FULL } else { bytes };
    }

    /// Returns whether the stream is to pause, so that the server sends what it has, and other tasks run.
    pub(super) fn is_full(&self) -> bool {
        self.bytes == FULL
    }
}

/// The most bytes of large frames that a stream sends before a pause, unless one frame alone has more. hyper holds up to sixteen
/// frames of any size: over 128 KiB, glibc's allocator returns the memory to the system each time, and to get it again is a third
/// of what large events cost. With less than this, hyper makes more calls for the same bytes.
const MAX_BURST: u32 = 120 * 1024;

const FULL: u32 = u32::MAX;

/// Longer than a server takes to poll a stream again whose client reads.
const BURST_RESET: Duration = Duration::from_millis(100);
