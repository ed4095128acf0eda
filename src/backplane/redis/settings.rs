//! Settings of the Redis backplane, and the names of its keys in Redis.

use std::{fmt, sync::Arc, time::Duration};

use crate::observe::link::{Link, LinkObserver};

/// The settings of one backplane.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) prefix: String,
    pub(super) entries: u64,
    pub(super) age: Option<Duration>,
    pub(super) keys: u64,
    pub(super) load_entries: usize,
    pub(super) load_bytes: usize,
    pub(super) publish_timeout: Duration,
    pub(super) idempotency_ttl: Duration,
    pub(super) presence_ttl: Duration,
    pub(super) observer: Arc<dyn LinkObserver>,
    /// The maximum size of an entry in bytes, which is the hub's bound on all of its events.
    pub(super) max_entry_bytes: usize,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            prefix: "{sse}".to_owned(),
            entries: 100_000,
            age: Some(Duration::from_secs(3600)),
            keys: 1024,
            load_entries: 100_000,
            load_bytes: 64 << 20,
            publish_timeout: Duration::from_secs(2),
            idempotency_ttl: Duration::from_secs(600),
            presence_ttl: Duration::from_secs(5),
            observer: Arc::new(NoObserver),
            max_entry_bytes: 64 << 20,
        }
    }

    pub(super) fn stream_key(&self) -> String {
        self.key("stream")
    }

    pub(super) fn epoch_key(&self) -> String {
        self.key("epoch")
    }

    /// Returns the key of the set of topics that have keys.
    pub(super) fn keyed_key(&self) -> String {
        self.key("keyed")
    }

    /// Returns the key of the hash with the newest event of each key of a topic.
    pub(super) fn latest_key(&self, topic: &str) -> String {
        format!("{}:latest:{topic}", self.prefix)
    }

    /// Returns the key for an idempotency key of a topic. The length of the topic's name precedes it, so that different pairs
    /// have different keys.
    pub(super) fn once_key(&self, topic: &str, idempotency_key: &str) -> String {
        format!("{}:once:{}:{topic}:{idempotency_key}", self.prefix, topic.len())
    }

    /// Returns the key of the hash of nodes, each with its expiry and the version of its presence.
    pub(super) fn nodes_key(&self) -> String {
        self.key("nodes")
    }

    /// Returns the key for the presence of a node.
    pub(super) fn node_key(&self, node: &str) -> String {
        format!("{}:node:{node}", self.prefix)
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

struct NoObserver;

impl LinkObserver for NoObserver {
    fn link(&self, _: Link) {}
}

/// The time for which Redis blocks a read of a node that waits for the next entry.
pub(super) const BLOCK_TIMEOUT: Duration = Duration::from_millis(800);

pub(super) const MAX_PRESENCE_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The time within which a node expects a response, in addition to the time for which Redis blocks.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of entries of one read.
pub(super) const READ_BATCH: usize = 256;

/// The maximum number of bytes of one read, unless its first entry alone is larger.
pub(super) const READ_BATCH_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_topics_share_an_idempotency_key() {
        let settings = Settings::new();
        let pairs = [("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("1:a", "b"), ("a", "b")];
        let keys: std::collections::BTreeSet<_> =
            pairs.iter().map(|(topic, key)| settings.once_key(topic, key)).collect();
        assert_eq!(keys.len(), pairs.len());
    }
}
