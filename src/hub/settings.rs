//! The settings of a hub.

use super::retention::Retention;
use crate::event::field::EventName;

/// The settings of a [`Hub`](crate::hub::Hub), as its builder has collected them.
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
    /// Returns whether a new client gets a greeting with its position.
    pub(crate) fn greets(&self) -> bool {
        self.greeting.is_some()
    }
}
