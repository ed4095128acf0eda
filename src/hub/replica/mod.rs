//! The replica that a backplane feeds: how far it has come, and the subscriptions that wait for it.

pub(crate) mod apply;
pub(crate) mod catch_up;
pub(crate) mod contract;
pub(crate) mod requests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use self::{catch_up::Queue, contract::Backplane, requests::Asked};
use crate::{hub::registry::remote_presence::Elsewhere, observe::link::Link};

/// The backplane of a hub, and what is known of it.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) backplane: Arc<dyn Backplane>,
    /// How often this node had everything there was.
    pub(super) caught_up: AtomicU64,
    /// Set if this node had everything there was, in this history. Changes under the lock of the order.
    pub(super) has_begun: AtomicBool,
    /// Who waits for it.
    pub(crate) queue: Queue,
    pub(crate) elsewhere: Arc<Elsewhere>,
    pub(crate) asked: Arc<Asked>,
    /// Keys are not given with the beginning, but when they are asked for.
    pub(super) finds_keys: AtomicBool,
    pub(super) link: tokio::sync::watch::Sender<Link>,
    pub(super) presence_changed: AtomicBool,
    /// When the last event came, by the hub's clock. None that follows it came before.
    pub(super) last_at: AtomicU64,
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.asked.close();
    }
}

impl Fed {
    pub(crate) fn new(backplane: Arc<dyn Backplane>) -> Self {
        Self {
            backplane,
            caught_up: AtomicU64::new(0),
            has_begun: AtomicBool::new(false),
            queue: Queue::default(),
            elsewhere: Arc::default(),
            asked: Arc::default(),
            finds_keys: AtomicBool::new(false),
            link: tokio::sync::watch::Sender::new(Link::Connecting),
            presence_changed: AtomicBool::new(true),
            last_at: AtomicU64::new(0),
        }
    }

    pub(crate) fn link(&self) -> tokio::sync::watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn presence_changed(&self) {
        self.presence_changed.store(true, Ordering::Release);
    }

    /// How often this node had everything there was.
    pub(crate) fn times_caught_up(&self) -> u64 {
        self.caught_up.load(Ordering::Acquire)
    }

    /// Whether this node had everything there was, in this history. Before that, nobody is told what is missing.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }
}
