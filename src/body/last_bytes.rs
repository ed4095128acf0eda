//! Provides the bytes that a stream ends with. Pure.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    event::{boundary::Boundary, chunk::Chunk, encode},
    settings::{StreamSettings, heartbeat::COMMENT},
    time::jitter,
};

/// The last bytes of a stream with these settings.
#[derive(Debug)]
pub(super) struct LastBytes<'a> {
    settings: &'a StreamSettings,
}

impl<'a> LastBytes<'a> {
    pub(super) fn new(settings: &'a StreamSettings) -> Self {
        Self { settings }
    }

    /// Returns the `retry:` of a client that shall reconnect: up to half longer than the one that is set, so that not
    /// all clients reconnect at the same time.
    pub(super) fn reconnect(&self) -> Chunk {
        let retry = jitter::longer(self.retry());
        Chunk { bytes: self.last_retry(retry, b""), events: 0 }
    }

    /// Returns the same for the clients of a drain, which are many: they reconnect spread over this time.
    pub(super) fn reconnect_spread(&self, spread: Duration) -> Chunk {
        self.reconnect_spread_after(&Chunk::NONE, spread)
    }

    /// Returns the last bytes of a failed stream, then the `retry:` of a drain.
    pub(super) fn failure_and_reconnect(&self, boundary: Boundary, spread: Duration) -> Chunk {
        self.reconnect_spread_after(&self.failure(boundary), spread)
    }

    fn reconnect_spread_after(&self, before: &Chunk, spread: Duration) -> Chunk {
        let retry = jitter::up_to(self.retry(), spread);
        Chunk { bytes: self.last_retry(retry, &before.bytes), events: before.events }
    }

    /// Returns the last bytes of a failed stream: the end of the line that it is in, and the event that is set for
    /// failures, behind a blank line.
    pub(super) fn failure(&self, boundary: Boundary) -> Chunk {
        let line_end = boundary.line_end();
        let Some(event) = &self.settings.on_failure else {
            return Chunk { bytes: Bytes::from_static(line_end), events: 0 };
        };
        let blank_line: &[u8] = match boundary.after(line_end) {
            Boundary::BetweenEvents => b"",
            _ => b"\n",
        };
        Chunk { bytes: [line_end, blank_line, &event.to_bytes()].concat().into(), events: 1 }
    }

    /// Returns bytes that change nothing for a client. They are empty between lines if comments are omitted.
    pub(super) fn no_op(&self, boundary: Boundary) -> Chunk {
        let bytes = match boundary {
            Boundary::BetweenEvents | Boundary::LineStart if self.settings.omits_comments() => Bytes::new(),
            Boundary::BetweenEvents | Boundary::LineStart => COMMENT,
            _ => Bytes::from_static(boundary.line_end()),
        };
        Chunk { bytes, events: 0 }
    }

    fn retry(&self) -> Duration {
        self.settings.retry.unwrap_or(DEFAULT_RECONNECT)
    }

    fn last_retry(&self, retry: Duration, before: &[u8]) -> Bytes {
        let mut buffer = before.to_vec();
        encode::put_last_retry(retry, self.settings.last_retry.unwrap_or_default(), &mut buffer);
        buffer.into()
    }
}

/// The delay of a client whose stream has no `retry:`, about what browsers use on their own.
const DEFAULT_RECONNECT: Duration = Duration::from_secs(3);
