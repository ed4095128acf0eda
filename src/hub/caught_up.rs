//! The future by which a publisher waits for the subscribers of a topic.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::state::TopicShared;

/// A future that completes when no subscriber of a topic is further behind than allowed.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    topic: Arc<TopicShared>,
    wait: Wait,
}

#[derive(Debug)]
enum Wait {
    /// Not registered. Waits until all subscribers have everything up to a position of an epoch. Done when that epoch is over:
    /// its positions are not reached any more.
    Unregistered {
        through: u64,
        epoch_number: u64,
    },
    /// Registered among the waiting publishers of the topic, under this number.
    Registered(usize),
    Done,
}

impl CaughtUp {
    pub(crate) fn new(topic: &Arc<TopicShared>, events: usize) -> Self {
        let state = topic.lock();
        let (through, epoch_number) = (state.log.before_newest(events), state.readers.epoch_number());
        drop(state);
        let wait = through.map_or(Wait::Done, |through| Wait::Unregistered { through, epoch_number });
        Self { topic: Arc::clone(topic), wait }
    }
}

impl Future for CaughtUp {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Lock order: cloned before the topic is locked, dropped after.
        let waker = cx.waker().clone();
        let mut state = this.topic.lock();
        let waits = match this.wait {
            Wait::Done => Err(waker),
            Wait::Unregistered { .. } if state.closings.is_closed() => Err(waker),
            Wait::Unregistered { epoch_number, .. } if epoch_number != state.readers.epoch_number() => Err(waker),
            Wait::Unregistered { through, .. } => match state.readers.wait(through, waker) {
                Ok(publisher) => {
                    this.wait = Wait::Registered(publisher);
                    Ok(None)
                }
                Err(waker) => Err(waker),
            },
            Wait::Registered(publisher) => state.readers.wait_on(publisher, waker),
        };
        drop(state);
        if waits.is_ok() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for CaughtUp {
    fn drop(&mut self) {
        if let Wait::Registered(publisher) = self.wait {
            // Lock order: dropped after the topic is unlocked.
            let _waker = self.topic.lock().readers.give_up(publisher);
        }
    }
}
