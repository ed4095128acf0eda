//! The settings of a hub.

use std::time::Duration;

use super::retention::Retention;
use crate::event::field::EventName;

/// The settings of a [`Hub`](crate::hub::Hub), as its builder has collected them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The settings of a topic that has none of its own.
    pub(crate) of_topic: TopicSettings,
    pub(crate) bytes: usize,
    pub(crate) topics: usize,
    pub(crate) topics_per_subscription: usize,
    pub(crate) greeting: Option<EventName>,
    pub(crate) gap: EventName,
}

/// The settings of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    pub(crate) bounds: Retention,
    pub(crate) linger: Linger,
}

/// The time for which a topic may gather events before its subscribers are woken, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Linger(pub(crate) u64);

impl From<Duration> for Linger {
    fn from(linger: Duration) -> Self {
        Self(u64::try_from(linger.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).min(MAX_LINGER))
    }
}

/// A day, which no sum of times overflows.
const MAX_LINGER: u64 = 24 * 60 * 60 * 1000;

impl Settings {
    /// Returns whether a new client gets a greeting with its position.
    pub(crate) fn greets(&self) -> bool {
        self.greeting.is_some()
    }
}
