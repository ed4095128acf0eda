//! The settings of a hub.

use super::retention::Retention;
use crate::event::field::EventName;

/// What is set on a hub.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) bounds: Retention,
    pub(crate) bytes: usize,
    pub(crate) topics: usize,
    pub(crate) topics_per_subscription: usize,
    pub(crate) greeting: Option<EventName>,
    pub(crate) gap: EventName,
}

impl Settings {
    /// Whether a new client is told where it is.
    pub(crate) fn greets(&self) -> bool {
        self.greeting.is_some()
    }
}
