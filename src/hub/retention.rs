//! The bounds of what a topic keeps.

use std::time::Duration;

/// The bounds of what a topic keeps. Beyond any of them the oldest events are evicted.
///
/// See [retention](crate::hub#retention) for what a whole hub keeps.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::hub::{Retention, Hub};
///
/// let hub = Hub::builder().retention(Retention::new().events(100).age(Duration::from_secs(600))).build();
/// let ticks = hub.topic_with("ticks", Retention::new().events(10))?;
/// # Ok::<(), tower_sse::hub::TopicError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Option<Duration>,
    pub(crate) keys: usize,
}

impl Retention {
    /// Creates the default retention: 1,024 events, 1 MiB, one hour, 1,024 keys.
    #[must_use]
    pub fn new() -> Self {
        Self { events: 1024, bytes: 1 << 20, age: Some(Duration::from_secs(3600)), keys: 1024 }
    }

    /// Sets the number of events, at least one. Each costs its bytes and 64 more. Defaults to 1,024.
    #[must_use]
    pub fn events(mut self, events: usize) -> Self {
        self.events = events.max(1);
        self
    }

    /// Sets the number of bytes of events and keyed values together. Defaults to 1 MiB.
    ///
    /// An event counts with its bytes on the wire without its id, the bytes of its key, and 64 bytes for its entry. A larger
    /// event is not published.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the age up to which an event is kept, to the millisecond; `None` sets no limit. Defaults to one hour.
    ///
    /// Keyed values have no age. There is no timer: ages are checked when this topic or another one of the hub is used.
    #[must_use]
    pub fn age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.age = age.into();
        self
    }

    /// Sets the number of keys whose newest event is kept. Beyond it the key that was published least recently is evicted.
    /// Defaults to 1,024.
    #[must_use]
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}
