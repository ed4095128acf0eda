//! The future by which a publisher waits for the subscribers of a topic.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::state::{TopicShared, readers::PublisherWait};

/// A future that completes when no subscriber of a topic is further behind than allowed.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    topic: Arc<TopicShared>,
    wait: PublisherWait,
}

impl CaughtUp {
    pub(crate) fn new(topic: &Arc<TopicShared>, events: usize) -> Self {
        Self { topic: Arc::clone(topic), wait: topic.wait_for_readers(events) }
    }
}

impl Future for CaughtUp {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (polled, wakes) = this.topic.poll_readers(&mut this.wait, cx.waker().clone());
        wakes.wake();
        polled
    }
}

impl Drop for CaughtUp {
    fn drop(&mut self) {
        self.topic.cancel_wait(&self.wait);
    }
}
