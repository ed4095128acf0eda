//! What became of a publish.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;

use super::{error::PublishError, position::Position};
use crate::{event::field::EventId, hub::replica::contract::BoxFuture};

/// What becomes of a publish, which has already begun: dropping this cancels nothing.
///
/// Within one process it is done when the call returns, and [`try_result`](Self::now) reads it anywhere. Where the hub is
/// [fed from outside](crate::backplane) it is a future to wait for; the same code serves both.
pub struct Published(Outcome);

enum Outcome {
    Known(Result<Position, PublishError>),
    Awaited(BoxFuture<Result<EventId, PublishError>>),
}

impl Published {
    pub(crate) fn new(result: Result<Position, PublishError>) -> Self {
        Self(Outcome::Known(result))
    }

    pub(crate) fn awaited(outcome: BoxFuture<Result<EventId, PublishError>>) -> Self {
        Self(Outcome::Awaited(outcome))
    }

    /// The event's id; of several the last one's. Needs no runtime.
    ///
    /// # Errors
    ///
    /// The event is too large, or its topic cannot be had: nothing of the call was published. Where the hub is fed from
    /// outside, also [`PublishError::Pending`], as long as it is not known.
    pub fn try_result(self) -> Result<EventId, PublishError> {
        match self.0 {
            Outcome::Known(result) => result.map(Position::id),
            Outcome::Awaited(outcome) => outcome.now_or_never().unwrap_or(Err(PublishError::Pending)),
        }
    }
}

/// # Cancel safety
///
/// The event is published, or not, whether the future is dropped or not.
impl Future for Published {
    type Output = Result<EventId, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Outcome::Known(result) => Poll::Ready(result.clone().map(Position::id)),
            Outcome::Awaited(outcome) => outcome.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Outcome::Known(result) => f.debug_tuple("Published").field(result).finish(),
            Outcome::Awaited(_) => f.debug_tuple("Published").finish_non_exhaustive(),
        }
    }
}
