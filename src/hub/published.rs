//! What became of a publish.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{error::PublishError, position::Position};
use crate::EventId;

/// What becomes of a publish, which has already begun: dropping this cancels nothing.
///
/// Within one process it is done when the call returns, and [`now`](Self::now) reads it anywhere. As a future it gives the
/// same, and goes on being right where something outside of the process has to agree.
#[derive(Debug, Clone)]
pub struct Published(Result<Position, PublishError>);

impl Published {
    pub(crate) fn new(result: Result<Position, PublishError>) -> Self {
        Self(result)
    }

    /// The event's id; of several the last one's. Needs no runtime.
    ///
    /// # Errors
    ///
    /// The event is too large, or its topic cannot be had. Nothing of the call was published.
    pub fn now(self) -> Result<EventId, PublishError> {
        self.0.map(Position::id)
    }
}

/// # Cancel safety
///
/// The event is published, or not, whether the future is dropped or not.
impl Future for Published {
    type Output = Result<EventId, PublishError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.0.clone().map(Position::id))
    }
}
