//! Why a subscription of a hub that is fed waits for its node, and how it is woken.
//!
//! A node that has just begun has not read yet what there is: until it has, nobody can be told what they have missed. One that
//! is behind another has not come to the id of a client from there.

use std::{sync::PoisonError, task::Waker};

use super::subscribe::Subscribe;

/// A subscription that waits for its node.
pub(crate) struct Waiting {
    pub(crate) for_what: For,
    /// When it was put among those who are woken, and by what.
    put: Option<(u64, Waker)>,
}

/// What it waits for.
pub(crate) enum For {
    /// Until its node has all that there is: then it subscribes.
    Begin(Subscribe),
    /// Until its node has come to its id, or has had all there was once more, so many times in all.
    Id { times: u64 },
}

/// Those who wait for a node.
#[derive(Debug, Default)]
pub(crate) struct Queue(std::sync::Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    number: u64,
    wakers: Vec<Waker>,
}

impl Waiting {
    pub(crate) fn new(for_what: For) -> Box<Self> {
        Box::new(Self { for_what, put: None })
    }

    /// Has this task woken by the next round. However often it is polled meanwhile, it is there once.
    pub(crate) fn wait(&mut self, queue: &Queue, waker: &Waker) {
        // Cloned, and what it replaces dropped, outside of the lock.
        let waker = waker.clone();
        let mut round = queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = self.put.as_ref().is_some_and(|(put, by)| *put == round.number && by.will_wake(&waker));
        let number = round.number;
        if !is_there {
            round.wakers.push(waker.clone());
        }
        drop(round);
        self.put = Some((number, waker));
    }
}

impl Queue {
    /// Wakes all who wait.
    pub(crate) fn wake(&self) {
        let mut round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        round.number += 1;
        let wakers = std::mem::take(&mut round.wakers);
        drop(round);
        wakers.into_iter().for_each(Waker::wake);
    }
}
