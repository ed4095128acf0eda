//! The record that is kept of a removed topic.

use crate::hub::retention::Retention;

/// The record that is kept of a topic that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tombstone {
    /// Its events up to here are gone.
    pub(crate) through: u64,
    /// The position at which it was closed, or 0 if it was open.
    pub(crate) closed_since: u64,
    /// The bounds of its own, if it had some.
    pub(crate) bounds: Option<Retention>,
}
