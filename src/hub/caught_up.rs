//! How a publisher waits for the subscribers.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::state::TopicShared;

/// Done when no subscriber of a topic is further behind than it may be.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    topic: Arc<TopicShared>,
    wait: Wait,
}

#[derive(Debug)]
enum Wait {
    /// Until all have everything up to here, in this history: nobody comes so far any more when it is over.
    For {
        through: u64,
        histories: u64,
    },
    /// Among the topic's publishers.
    As(usize),
    Done,
}

impl CaughtUp {
    pub(crate) fn new(topic: &Arc<TopicShared>, events: usize) -> Self {
        let state = topic.lock();
        let (through, histories) = (state.log.before_newest(events), state.readers.epoch_number());
        drop(state);
        let wait = through.map_or(Wait::Done, |through| Wait::For { through, histories });
        Self { topic: Arc::clone(topic), wait }
    }
}

impl Future for CaughtUp {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Cloned before the lock, dropped after it.
        let waker = cx.waker().clone();
        let mut state = this.topic.lock();
        let waits = match this.wait {
            Wait::Done => Err(waker),
            Wait::For { .. } if state.closings.is_closed() => Err(waker),
            Wait::For { histories, .. } if histories != state.readers.epoch_number() => Err(waker),
            Wait::For { through, .. } => match state.readers.wait(through, waker) {
                Ok(publisher) => {
                    this.wait = Wait::As(publisher);
                    Ok(None)
                }
                Err(waker) => Err(waker),
            },
            Wait::As(publisher) => state.readers.wait_on(publisher, waker),
        };
        drop(state);
        if waits.is_ok() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for CaughtUp {
    fn drop(&mut self) {
        if let Wait::As(publisher) = self.wait {
            // Dropped after the lock.
            let _waker = self.topic.lock().readers.give_up(publisher);
        }
    }
}
