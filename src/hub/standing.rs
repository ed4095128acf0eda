//! What a subscription is to others: somebody who is waited for, and who is here.
//!
//! A connection whose client has stopped reading keeps its body, which nobody polls. So that a publisher does not wait for
//! it, and nobody takes its client for present, whoever finds that out gives this up in its place.

use std::{fmt, sync::Arc, task::Waker};

use super::{core::Core, topic_state::TopicShared};
use crate::body::source::Holds;

/// Its cursor and its member in each of its topics.
pub(crate) struct Standing {
    core: Arc<Core>,
    /// The topics, and its number among the readers of each.
    places: Box<[(Arc<TopicShared>, usize)]>,
    member: Option<Arc<str>>,
}

impl Standing {
    pub(crate) fn new<'a>(
        core: &Arc<Core>,
        places: impl Iterator<Item = (&'a Arc<TopicShared>, usize)>,
        member: Option<&Arc<str>>,
    ) -> Self {
        let places = places.map(|(topic, reader)| (Arc::clone(topic), reader)).collect();
        Self { core: Arc::clone(core), places, member: member.cloned() }
    }
}

impl Holds for Standing {
    fn give_up(&self) {
        for (topic, reader) in &self.places {
            let mut state = topic.lock();
            // Its number stays its own until it leaves, so nobody else's is meant.
            let Some(producers) = state.readers.set_absent(*reader) else { continue };
            state.members.leave(self.member.as_ref());
            drop(state);
            producers.into_iter().for_each(Waker::wake);
            topic.arrivals.notify_waiters();
        }
        self.core.presence_changed();
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.places.iter().map(|(topic, _)| topic.name())).finish()
    }
}
