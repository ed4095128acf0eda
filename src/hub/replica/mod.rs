//! The replica of a backplane's log: how far it is synced, and the subscriptions that wait for it.

pub(crate) mod apply;
pub(crate) mod catch_up;
pub(crate) mod contract;
pub(crate) mod requests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use self::{catch_up::CatchUpQueue, contract::Backplane, requests::FeedRequests};
use crate::{hub::registry::remote_presence::RemotePresence, observe::link::Link};

/// The backplane of a hub, and the state of the replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) backplane: Arc<dyn Backplane>,
    /// The number of times that the backplane had no more events than this node.
    pub(super) sync_count: AtomicU64,
    /// Set once the backplane had no more events than this node, in this epoch. Changes under the registry's lock.
    pub(super) is_synced: AtomicBool,
    /// The subscriptions that wait for this node.
    pub(crate) waiting: CatchUpQueue,
    pub(crate) remote_presence: Arc<RemotePresence>,
    pub(crate) requests: Arc<FeedRequests>,
    /// The backplane loads the keys of a topic on request.
    pub(super) finds_keys: AtomicBool,
    pub(super) link: tokio::sync::watch::Sender<Link>,
    pub(super) presence_changed: AtomicBool,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.requests.close();
    }
}

impl Replica {
    pub(crate) fn new(backplane: Arc<dyn Backplane>) -> Self {
        Self {
            backplane,
            sync_count: AtomicU64::new(0),
            is_synced: AtomicBool::new(false),
            waiting: CatchUpQueue::default(),
            remote_presence: Arc::default(),
            requests: Arc::default(),
            finds_keys: AtomicBool::new(false),
            link: tokio::sync::watch::Sender::new(Link::Connecting),
            presence_changed: AtomicBool::new(true),
        }
    }

    pub(crate) fn link(&self) -> tokio::sync::watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn presence_changed(&self) {
        self.presence_changed.store(true, Ordering::Release);
    }

    /// Returns the number of times that the backplane had no more events than this node.
    pub(crate) fn sync_count(&self) -> u64 {
        self.sync_count.load(Ordering::Acquire)
    }

    /// Records whether this node has read the whole log of this epoch. Called under the registry's lock.
    pub(crate) fn set_synced(&self, is_synced: bool) {
        self.is_synced.store(is_synced, Ordering::Release);
    }

    /// Returns whether this node has read the whole log of this epoch. Before that, no gap can be determined.
    pub(crate) fn is_synced(&self) -> bool {
        self.is_synced.load(Ordering::Acquire)
    }
}
