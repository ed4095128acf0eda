//! What can be set on Redis as a backplane, and the names of its keys.

use std::{fmt, sync::Arc, time::Duration};

use crate::observe::link::{Link, LinkObserver};

/// What is set.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) prefix: String,
    pub(super) entries: u64,
    pub(super) age: Option<Duration>,
    pub(super) keys: u64,
    pub(super) tail_entries: usize,
    pub(super) tail_bytes: usize,
    pub(super) publish_within: Duration,
    pub(super) remember: Duration,
    /// After which a node that does not say anything is gone.
    pub(super) node_expires: Duration,
    pub(super) observer: Arc<dyn LinkObserver>,
    /// The maximum size of an entry in bytes: the hub keeps nothing larger.
    pub(super) largest: usize,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            prefix: "{sse}".to_owned(),
            entries: 100_000,
            age: Some(Duration::from_secs(3600)),
            keys: 1024,
            tail_entries: 100_000,
            tail_bytes: 64 << 20,
            publish_within: Duration::from_secs(2),
            remember: Duration::from_secs(600),
            node_expires: Duration::from_secs(5),
            observer: Arc::new(Nobody),
            largest: 64 << 20,
        }
    }

    pub(super) fn stream(&self) -> String {
        self.key("stream")
    }

    pub(super) fn epoch(&self) -> String {
        self.key("epoch")
    }

    /// The topics that have keys.
    pub(super) fn keyed(&self) -> String {
        self.key("keyed")
    }

    /// The newest event of each key of a topic.
    pub(super) fn latest(&self, topic: &str) -> String {
        format!("{}:latest:{topic}", self.prefix)
    }

    /// An idempotency key of a topic. The length of the topic's name stands in front, so that no other pair has the same.
    pub(super) fn once(&self, topic: &str, idempotency_key: &str) -> String {
        format!("{}:once:{}:{topic}:{idempotency_key}", self.prefix, topic.len())
    }

    /// The nodes, each with the time until which it counts and the number of what it wrote last.
    pub(super) fn nodes(&self) -> String {
        self.key("nodes")
    }

    /// Who is on a node.
    pub(super) fn node(&self, node: &str) -> String {
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

struct Nobody;

impl LinkObserver for Nobody {
    fn link(&self, _: Link) {}
}

/// How long Redis has no answer for a node that waits for the next entry.
pub(super) const BLOCK_TIMEOUT: Duration = Duration::from_millis(800);

/// The longest time after which a node that does not say anything is gone.
pub(super) const LONGEST_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a node waits for any answer beyond that.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many entries are read at once.
pub(super) const READ_BATCH: usize = 256;

/// The maximum number of bytes of entries that are read at once, unless one alone has more.
pub(super) const READ_BATCH_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_topics_share_an_idempotency_key() {
        let settings = Settings::new();
        let pairs = [("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("1:a", "b"), ("a", "b")];
        let keys: std::collections::BTreeSet<_> = pairs.iter().map(|(topic, key)| settings.once(topic, key)).collect();
        assert_eq!(keys.len(), pairs.len());
    }
}
