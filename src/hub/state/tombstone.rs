//! The tombstone of a removed topic.

use crate::hub::settings::TopicSettings;

/// The record that a hub keeps of a removed topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tombstone {
    /// The sequence up to which its events are evicted.
    pub(crate) through: u64,
    /// The position at which it was closed, or 0 if it was open.
    pub(crate) closed_since: u64,
    /// The settings of the topic, if they were not those of the hub.
    pub(crate) settings: Option<TopicSettings>,
}
