//! A measure of how full a hub is, for operators.

/// A measure of how full a hub is, and of what it has evicted and refused since it was built; returned by
/// [`Hub::health`](crate::hub::Hub::health).
///
/// Clients can fill a hub, so do not use it for a readiness probe: clients could take a process out of service. Alert on it
/// instead, for example with the feature `metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubHealth {
    /// The number of topics.
    pub topics: usize,
    /// The number of topics that cannot be evicted, since a subscription, a [`Topic`](crate::hub::Topic) or a
    /// [`Presence`](crate::hub::Presence) holds them.
    pub held_topics: usize,
    /// The maximum number of topics: [`HubBuilder::max_topics`](crate::hub::HubBuilder::max_topics).
    pub max_topics: usize,
    /// The number of bytes that all topics keep.
    pub bytes: usize,
    /// The maximum number of bytes that all topics may keep: [`HubBuilder::max_bytes`](crate::hub::HubBuilder::max_bytes).
    pub max_bytes: usize,
    /// The number of topics and subscriptions that were refused since all topics were held.
    pub refused: u64,
    /// The number of topics that were evicted to make room for others.
    pub evicted_topics: u64,
    /// The number of keyed values that were evicted, with their topic or by a limit. Removed values do not count, nor do values
    /// evicted with their topic if the backplane can [load them again](crate::backplane::Feed::find_keys_when_asked).
    pub evicted_keys: u64,
}

impl HubHealth {
    /// Returns whether a topic of a new name would be refused now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held_topics >= self.max_topics
    }
}
