//! Why a subscription of a hub that is fed waits for its node, and how it is woken.
//!
//! A node that has just begun has not read yet what there is: until it has, nobody can be told what they have missed. One that
//! is behind another has not come to the id of a client from there.

use std::{mem, sync::PoisonError, task::Waker};

use slab::Slab;

use crate::hub::subscription::request::Subscribe;
use crate::panic;

/// A subscription that waits for its node.
pub(crate) struct CatchUpWait {
    pub(crate) for_what: WaitFor,
    /// In which round it was put among those who are woken, and where.
    put: Option<(u64, usize)>,
}

/// What it waits for.
pub(crate) enum WaitFor {
    /// Until its node has all that there is: then it subscribes.
    FirstSync(Subscribe),
    /// Until its node has all that there is of another history, with the keys of the topics: then it goes over to that.
    NextEpoch,
    /// Until its node has come to its id, or has had all there was once more, so many times in all.
    Position { times: u64 },
}

/// Those who wait for a node.
#[derive(Debug, Default)]
pub(crate) struct CatchUpQueue(std::sync::Mutex<Generation>);

#[derive(Debug, Default)]
struct Generation {
    number: u64,
    wakers: Slab<Waker>,
}

impl CatchUpWait {
    pub(crate) fn new(for_what: WaitFor) -> Box<Self> {
        Box::new(Self { for_what, put: None })
    }

    /// Has this task woken by the next round. However often it is polled meanwhile, it is there once.
    pub(crate) fn wait(&mut self, queue: &CatchUpQueue, waker: &Waker) {
        // Cloned, and what it replaces dropped, outside of the lock.
        let waker = waker.clone();
        let mut round = queue.lock();
        let place = self.put.filter(|&(number, _)| number == round.number);
        let _replaced = match place.and_then(|(_, place)| round.wakers.get_mut(place)) {
            Some(standing) => Some(mem::replace(standing, waker)),
            None => {
                self.put = Some((round.number, round.wakers.insert(waker)));
                None
            }
        };
        drop(round);
    }

    /// Waits no more. Gives what it waited for.
    pub(crate) fn stop(self, queue: &CatchUpQueue) -> WaitFor {
        if let Some((number, place)) = self.put {
            let mut round = queue.lock();
            // Those of a round before are woken already.
            let _waker = if number == round.number { round.wakers.try_remove(place) } else { None };
            drop(round);
        }
        self.for_what
    }
}

impl CatchUpQueue {
    /// Wakes all who wait.
    pub(crate) fn wake(&self) {
        let mut round = self.lock();
        round.number += 1;
        let wakers = mem::take(&mut round.wakers);
        drop(round);
        panic::wake_all(wakers.into_iter().map(|(_, waker)| waker));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
