//! Heartbeats of idle streams.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    event::{encode, field::EventName},
    time::{
        alarm::{Alarm, TICK},
        jitter,
    },
};

/// The heartbeat of an idle stream. It keeps proxies from closing the connection, and detects clients that left.
///
/// A heartbeat is sent only if nothing else was for its interval, or up to a fifth less, so that streams that opened together do not
/// send theirs together. Defaults to a comment every 15 s.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Heartbeat, event_name};
///
/// let comment = Heartbeat::every(Duration::from_secs(20)); // Not visible to a page.
/// let event = Heartbeat::event(Duration::from_secs(5), &event_name!("ping")); // A page can listen for it.
/// let none = Heartbeat::off();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat(Option<Beat>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Beat {
    interval: Duration,
    bytes: Bytes,
}

impl Heartbeat {
    /// Returns a heartbeat that is a comment, the line `:`, which clients skip. The default, every 15 s.
    ///
    /// The interval is a millisecond at least, which is the resolution of the timer.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self::new(interval, COMMENT)
    }

    /// Returns a heartbeat that is an event with this name and empty data. Use it if the script of a page has to detect a dead
    /// connection. The interval is a millisecond at least.
    #[must_use]
    pub fn event(interval: Duration, name: &EventName) -> Self {
        Self::new(interval, encode::text(Some(name), ""))
    }

    /// Returns no heartbeat, for streams that are never idle or have heartbeats among their events.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    pub(crate) fn is_comment(&self) -> bool {
        self.0.as_ref().is_some_and(|beat| beat.bytes == COMMENT)
    }

    fn new(interval: Duration, bytes: Bytes) -> Self {
        Self(Some(Beat { interval: interval.max(Duration::from_millis(1)), bytes }))
    }

    /// Returns the bytes to send, or `None` if it is too early. `last` is the time of the last frame.
    pub(crate) fn due(&self, last: Instant, now: Instant) -> Option<&Bytes> {
        let beat = self.0.as_ref()?;
        (now.saturating_duration_since(last) >= jitter::min(beat.interval)).then_some(&beat.bytes)
    }

    /// Returns the time of the next check, or `None` if there is none. It is coarse if the jitter is longer than two ticks: then
    /// a tick is taken off the jitter, so that the heartbeat is never late.
    pub(crate) fn next(&self, last: Instant) -> Option<Alarm> {
        let interval = self.0.as_ref()?.interval;
        match (interval / 5).checked_sub(TICK).filter(|&left| left >= TICK) {
            Some(left) => last.checked_add(jitter::up_to(jitter::min(interval), left)).map(Alarm::coarse),
            None => last.checked_add(jitter::shorter(interval)).map(Alarm::exact),
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        DEFAULT.clone()
    }
}

impl From<Duration> for Heartbeat {
    fn from(interval: Duration) -> Self {
        Self::every(interval)
    }
}

/// The heartbeat of a stream without one of its own or its layer's.
pub(crate) static DEFAULT: Heartbeat = Heartbeat(Some(Beat { interval: Duration::from_secs(15), bytes: COMMENT }));

/// A comment without a blank line, since openai-python, anthropic-python and httpx-sse return an empty event at a blank line.
pub(crate) const COMMENT: Bytes = Bytes::from_static(b":\n");

/// A comment for clients of HTTP/2 that count unread small frames over the whole connection, as Rust's h2 does. With the initial windows
/// of HTTP/2, 130 short comments end the connection. Long ones fill the window before that, and the stream waits.
pub(crate) const LONG_COMMENT: Bytes = Bytes::from_static(&LONG);

const LONG: [u8; 192] = {
    let mut bytes = [b' '; 192];
    bytes[0] = b':';
    bytes[191] = b'\n';
    bytes
};
