//! Times at which a stream's timer has to fire.

use std::time::Duration;

use tokio::time::Instant;

/// A time at which a stream's timer has to fire: never before, and at once unless it is coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) at: Instant,
    /// The timer may fire up to a [`TICK`] later, together with others.
    pub(crate) is_coarse: bool,
}

impl Alarm {
    pub(crate) fn exact(at: Instant) -> Self {
        Self { at, is_coarse: false }
    }

    pub(crate) fn coarse(at: Instant) -> Self {
        Self { at, is_coarse: true }
    }

    /// Returns the time at which the timer has fired at the latest. Returns `at` if an [`Instant`] cannot represent it.
    pub(crate) fn latest(&self) -> Instant {
        let slack = if self.is_coarse { TICK } else { Duration::ZERO };
        self.at.checked_add(slack).unwrap_or(self.at)
    }
}

/// The time between two wakes of a runtime's timer wheel. At 10,000 streams, 100 ms take a seventh of the CPU that a wake for each
/// stream takes, and 25 ms a quarter.
pub(crate) const TICK: Duration = Duration::from_millis(100);
