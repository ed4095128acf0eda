//! Observers of the link between a hub and its backplane.

use std::time::Duration;

/// Whether what feeds a hub can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// It was not reached yet.
    Connecting,
    /// It is read.
    Up,
    /// It was reached once, and is not now. Streams stay open.
    Down,
}

/// Is told how a hub is fed. Calls come from the task that feeds it, so they must be quick.
pub trait LinkObserver: Send + Sync + 'static {
    /// The link is up, or down.
    fn link(&self, link: Link) {
        let _ = link;
    }

    /// Events were read, so long after they were published, by the clocks of both.
    fn read(&self, events: usize, lag: Duration) {
        let _ = (events, lag);
    }

    /// A read failed.
    fn failed(&self, error: &(dyn std::error::Error + 'static)) {
        let _ = error;
    }

    /// An entry was skipped since it is no event.
    fn skipped(&self, id: &str, why: &str) {
        let _ = (id, why);
    }

    /// A new history has begun: all subscribers are told a gap.
    fn renewed(&self, why: &str) {
        let _ = why;
    }
}
