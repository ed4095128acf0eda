//! Topics that are closed, for as long as somebody holds them: they are found by nobody any more, and still keep something.

use std::sync::{Arc, Weak};

use super::topic_state::TopicShared;

/// The topics that are closed.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    topics: Vec<Weak<TopicShared>>,
    /// From so many on, those that are gone are taken out.
    limit: usize,
}

impl Closed {
    pub(crate) fn put(&mut self, topic: &Arc<TopicShared>) {
        if self.topics.len() >= self.limit {
            self.topics.retain(|topic| topic.strong_count() > 0);
            // So that it is seldom done, however many are still there.
            self.limit = LIMIT.max(2 * self.topics.len());
        }
        self.topics.push(Arc::downgrade(topic));
    }

    /// Those that are still there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<TopicShared>> {
        self.topics.iter().filter_map(Weak::upgrade)
    }
}

const LIMIT: usize = 64;
