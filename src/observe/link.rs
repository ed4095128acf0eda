//! Observers of the link between a hub and its backplane.

use std::{error::Error, sync::Arc, time::Duration};

/// The state of the link between a hub and its backplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// The backplane has not been reached yet.
    Connecting,
    /// The backplane is being read.
    Up,
    /// The backplane was reached before, and is not now. Streams stay open.
    Down,
}

/// An observer of the link between a hub and its backplane.
///
/// Calls are made from the task that reads the backplane, so an observer must return quickly. `Arc` and `Box` forward
/// to the observer inside.
pub trait LinkObserver: Send + Sync + 'static {
    /// Reports a change of the link's state.
    fn link(&self, link: Link) {
        let _ = link;
    }

    /// Reports that events were read, and the time since the newest of them was published, by the clocks of both nodes.
    fn read(&self, events: usize, lag: Duration) {
        let _ = (events, lag);
    }

    /// Reports that a read failed.
    fn failed(&self, error: &(dyn Error + 'static)) {
        let _ = error;
    }

    /// Reports an entry that was skipped since it is not an event, by its id.
    fn skipped(&self, id: &str, reason: &str) {
        let _ = (id, reason);
    }

    /// Reports that a new epoch has begun. All subscribers receive a gap.
    fn renewed(&self, reason: &str) {
        let _ = reason;
    }
}

/// Implements the trait for a pointer to an observer.
macro_rules! forward {
    ($pointer:ident) => {
        /// Forwards to the observer inside.
        impl<O: LinkObserver + ?Sized> LinkObserver for $pointer<O> {
            fn link(&self, link: Link) {
                (**self).link(link);
            }

            fn read(&self, events: usize, lag: Duration) {
                (**self).read(events, lag);
            }

            fn failed(&self, error: &(dyn Error + 'static)) {
                (**self).failed(error);
            }

            fn skipped(&self, id: &str, reason: &str) {
                (**self).skipped(id, reason);
            }

            fn renewed(&self, reason: &str) {
                (**self).renewed(reason);
            }
        }
    };
}

forward!(Arc);
forward!(Box);
