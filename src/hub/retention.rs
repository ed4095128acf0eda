//! How much a hub keeps.

use std::time::Duration;

/// What one topic keeps: whichever bound is met first, the oldest events go.
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
    /// 1,024 events, 1 MiB, an hour, 1,024 keys.
    #[must_use]
    pub fn new() -> Self {
        Self { events: 1024, bytes: 1 << 20, age: Some(Duration::from_secs(3600)), keys: 1024 }
    }

    /// How many events. Default 1,024, at least one. Each costs its bytes and 64 more.
    #[must_use]
    pub fn events(mut self, events: usize) -> Self {
        self.events = events.max(1);
        self
    }

    /// How many bytes, events and keyed values together. Default 1 MiB. An event that is larger is not published. Each
    /// counts as on the wire without its id, with its key, and 64 bytes more for its place.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How old an event may become, in steps of a millisecond. Default an hour; `None`: any age. Keyed values stay.
    /// There is no timer: age is looked at when the topic is used, and when others are.
    #[must_use]
    pub fn age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.age = age.into();
        self
    }

    /// How many keys have their newest event kept. Default 1,024. Beyond it the one that was published least recently goes.
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
