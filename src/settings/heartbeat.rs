//! What is sent while there is nothing to send, and when.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    event::{encode, field::EventName},
    time::jitter,
};

/// What a stream sends while it has no event: it keeps proxies from closing the connection, and finds clients that left.
///
/// It goes out only when nothing else did for its interval, or up to a fifth sooner, so that streams that opened together
/// do not beat together.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Heartbeat, event_name};
///
/// let quiet = Heartbeat::every(Duration::from_secs(20)); // a comment, which no page sees
/// let seen = Heartbeat::event(Duration::from_secs(5), &event_name!("ping")); // one that a page can watch for
/// let none = Heartbeat::off();
/// ```
#[derive(Debug, Clone)]
pub struct Heartbeat(Option<Beat>);

#[derive(Debug, Clone)]
struct Beat {
    interval: Duration,
    bytes: Bytes,
}

impl Heartbeat {
    /// A comment of one line, `:`, which no client makes an event of. The default, every 15 s.
    ///
    /// Below a millisecond the interval is a millisecond, which is what the timer can tell apart.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self::new(interval, COMMENT)
    }

    /// An event with this name and empty data, for a page whose script wants to notice that the connection is dead.
    #[must_use]
    pub fn event(interval: Duration, name: &EventName) -> Self {
        Self::new(interval, encode::text(Some(name), ""))
    }

    /// Nothing. For streams that are never idle, or whose events are heartbeats.
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

    /// The bytes to send, if it is time: nothing went out since `last`.
    pub(crate) fn due(&self, last: Instant, now: Instant) -> Option<&Bytes> {
        let beat = self.0.as_ref()?;
        (now.saturating_duration_since(last) >= jitter::min(beat.interval)).then_some(&beat.bytes)
    }

    /// When to look again. `None`: never.
    pub(crate) fn next(&self, last: Instant) -> Option<Instant> {
        last.checked_add(jitter::shorter(self.0.as_ref()?.interval))
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

/// The heartbeat of a stream that has no other.
pub(crate) static DEFAULT: Heartbeat = Heartbeat(Some(Beat { interval: Duration::from_secs(15), bytes: COMMENT }));

/// One newline: after a blank line openai-python, anthropic-python and httpx-sse give an empty event.
pub(crate) const COMMENT: Bytes = Bytes::from_static(b":\n");

/// A comment for clients of HTTP/2 that charge each small frame which they have not read to the whole connection, as those of Rust's h2
/// do: with the windows that HTTP/2 begins with, 130 of the short ones end it. With these the window is full before that, and the
/// stream waits.
pub(crate) const LONG_COMMENT: Bytes = Bytes::from_static(&LONG);

const LONG: [u8; 192] = {
    let mut bytes = [b' '; 192];
    bytes[0] = b':';
    bytes[191] = b'\n';
    bytes
};
