//! The idempotency keys of a hub that stands alone.
//!
//! Pure, and bounded: only the newest [`MAX_KEYS`] are known. A look-up scans them one by one: the only caller here is code that is
//! written for a hub with a backplane.

use std::{collections::VecDeque, sync::Arc};

/// The newest idempotency keys, in order of their publish.
#[derive(Debug, Default)]
pub(crate) struct IdempotencyKeys(VecDeque<IdempotentPublish>);

/// An event that was published under an idempotency key, which is its topic's.
#[derive(Debug)]
struct IdempotentPublish {
    topic: Arc<str>,
    key: Arc<str>,
    sequence: u64,
}

impl IdempotencyKeys {
    /// Returns the sequence of the last event that was published in a topic under a key.
    pub(crate) fn find(&self, topic: &str, key: &str) -> Option<u64> {
        let mut newest_first = self.0.iter().rev();
        newest_first.find(|publish| *publish.key == *key && *publish.topic == *topic).map(|publish| publish.sequence)
    }

    /// Adds the key of the event with this sequence.
    pub(crate) fn insert(&mut self, topic: &Arc<str>, key: Arc<str>, sequence: u64) {
        self.0.push_back(IdempotentPublish { topic: Arc::clone(topic), key, sequence });
        if self.0.len() > MAX_KEYS {
            self.0.pop_front();
        }
    }
}

/// The number of idempotency keys that are known.
const MAX_KEYS: usize = 1024;
