//! Subscriptions that wait for their node to catch up with its backplane.
//!
//! A new node has not read the log yet: until it has, no gap can be determined. A node that is behind another has not reached the
//! id of a client from there.

use std::{mem, sync::PoisonError, task::Waker};

use slab::Slab;

use crate::hub::subscription::request::Subscribe;
use crate::panic;

/// A subscription that waits for its node.
pub(crate) struct CatchUpWait {
    pub(crate) for_what: WaitFor,
    /// The generation in which its waker was registered, and the slot.
    registered: Option<(u64, usize)>,
}

/// The condition that a subscription waits for.
pub(crate) enum WaitFor {
    /// Until the node has read the whole log. The subscription subscribes then.
    FirstSync(Subscribe),
    /// Until the node has read the whole log of another epoch, with the keys of the topics. The subscription reads that epoch then.
    NextEpoch,
    /// Until the node has reached the client's id, or was synced so many times in all.
    Position { times: u64 },
}

/// The wakers of the subscriptions that wait for a node.
#[derive(Debug, Default)]
pub(crate) struct CatchUpQueue(std::sync::Mutex<Generation>);

#[derive(Debug, Default)]
struct Generation {
    number: u64,
    wakers: Slab<Waker>,
}

impl CatchUpWait {
    pub(crate) fn new(for_what: WaitFor) -> Box<Self> {
        Box::new(Self { for_what, registered: None })
    }

    /// Registers the waker of this task, which replaces the one before.
    pub(crate) fn wait(&mut self, queue: &CatchUpQueue, waker: &Waker) {
        // Lock order: cloned before the lock, and the replaced one dropped after it.
        let waker = waker.clone();
        let mut generation = queue.lock();
        let slot = self.registered.filter(|&(number, _)| number == generation.number);
        let _replaced = match slot.and_then(|(_, slot)| generation.wakers.get_mut(slot)) {
            Some(registered) => Some(mem::replace(registered, waker)),
            None => {
                self.registered = Some((generation.number, generation.wakers.insert(waker)));
                None
            }
        };
        drop(generation);
    }

    /// Removes the waker. Returns the condition.
    pub(crate) fn stop(self, queue: &CatchUpQueue) -> WaitFor {
        if let Some((number, slot)) = self.registered {
            let mut generation = queue.lock();
            // Wakers of a generation before are woken already.
            let _waker = if number == generation.number { generation.wakers.try_remove(slot) } else { None };
            drop(generation);
        }
        self.for_what
    }
}

impl CatchUpQueue {
    /// Wakes all subscriptions that wait.
    pub(crate) fn wake(&self) {
        let mut generation = self.lock();
        generation.number += 1;
        let wakers = mem::take(&mut generation.wakers);
        drop(generation);
        panic::wake_all(wakers.into_iter().map(|(_, waker)| waker));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
