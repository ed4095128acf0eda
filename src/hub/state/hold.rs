//! A hold on a topic: while there is one, the topic stays in its hub's table.
//!
//! Subscriptions, [`Topic`](crate::hub::Topic)s and [`Presence`](crate::hub::Presence)s have one each.
//!
//! Invariant: a topic that is held is the one that its hub finds by name. The first hold is taken under the hub's lock, and a
//! topic is removed under it, while there is no hold.
//!
//! Lock order: a hold that is dropped may take the hub's lock, so none is dropped under a lock.

use std::{
    ops::Deref,
    sync::{Arc, Weak, atomic::Ordering},
};

use super::TopicShared;

/// A reference to a topic that keeps it in its hub's table.
#[derive(Debug)]
pub(crate) struct Hold(Arc<TopicShared>);

impl Hold {
    /// Takes a hold. Called under the hub's lock, or with another hold.
    pub(crate) fn on(topic: &Arc<TopicShared>) -> Self {
        if topic.holds.fetch_add(1, Ordering::Relaxed) == 0 {
            topic.counts.held.fetch_add(1, Ordering::Relaxed);
        }
        Self(Arc::clone(topic))
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::on(&self.0)
    }
}

impl Deref for Hold {
    type Target = Arc<TopicShared>;

    fn deref(&self) -> &Arc<TopicShared> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Ordering: what was done with the topic happens before it is removed by another thread.
        if self.0.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.counts.held.fetch_sub(1, Ordering::Relaxed);
            if let Some(table) = Weak::upgrade(&self.0.table) {
                table.release(&self.0);
            }
        }
    }
}
