//! Bodies and streams with a minimum of work.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use crate::text::FLOOD;
use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};
use tower_sse::Event;

/// No body.
pub(crate) struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// Events without an end, always ready.
pub(crate) struct Flood<F> {
    event: F,
    at: usize,
}

impl<F: Fn(usize) -> Event> Flood<F> {
    pub(crate) fn new(event: F) -> Self {
        Self { event, at: 0 }
    }
}

impl<F: Fn(usize) -> Event + Unpin> Stream for Flood<F> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        let at = self.at;
        self.at = if at as u64 + 1 == FLOOD { 0 } else { at + 1 };
        Poll::Ready(Some((self.event)(at)))
    }
}
