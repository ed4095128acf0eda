//! A measure of how full a hub is, for those who operate it.

/// A measure of how full a hub is, and of what it has let go and refused since it was built; from
/// [`Hub::health`](crate::hub::Hub::health).
///
/// Clients can fill a hub: a readiness probe that follows it takes a process out of service for what they do. Watch it by an
/// alert instead, as by the feature `metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubHealth {
    /// The topics that there are.
    pub topics: usize,
    /// The topics that stay, since a subscription, a [`Topic`](crate::hub::Topic) or a [`Presence`](crate::hub::Presence) holds them.
    pub held_topics: usize,
    /// The most topics that there may be: [`HubBuilder::max_topics`](crate::hub::HubBuilder::max_topics).
    pub max_topics: usize,
    /// The bytes that all topics keep.
    pub bytes: usize,
    /// The most bytes that all topics may keep: [`HubBuilder::max_bytes`](crate::hub::HubBuilder::max_bytes).
    pub max_bytes: usize,
    /// The topics and subscriptions that were refused since all topics were held.
    pub refused: u64,
    /// The topics that made room for others.
    pub evicted_topics: u64,
    /// The keyed values that made room for others, with their topic or by a bound. Removed ones do not count, nor do those
    /// that went with their topic where a backplane [finds them again](crate::backplane::Feed::find_keys_when_asked).
    pub evicted_keys: u64,
}

impl HubHealth {
    /// Returns whether a topic of a new name is refused now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held_topics >= self.max_topics
    }
}
