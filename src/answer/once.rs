//! Provides a stream of at most one event.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::event::Event;

/// A stream of at most one event; made by [`Events::once`](crate::Events::once) and [`Events::empty`](crate::Events::empty).
#[derive(Debug)]
pub struct Once(Option<Event>);

impl Once {
    pub(crate) fn new(event: Option<Event>) -> Self {
        Self(event)
    }
}

impl Stream for Once {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        Poll::Ready(self.0.take())
    }
}
