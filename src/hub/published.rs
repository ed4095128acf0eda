//! The outcome of a publish.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;

use super::{error::PublishError, position::Position};
use crate::event::field::EventId;

/// The outcome of a publish that has begun. Dropping it cancels nothing.
///
/// A future. Without a [backplane](crate::backplane) it is ready when the publish returns, and
/// [`try_result`](Self::try_result) reads it without a runtime. With a backplane it is ready once the backplane has answered.
/// Code that awaits it works with both.
pub struct Published(Outcome);

enum Outcome {
    Known(Result<Position, PublishError>),
    Awaited(BoxFuture<'static, Result<EventId, PublishError>>),
}

impl Published {
    pub(crate) fn new(result: Result<Position, PublishError>) -> Self {
        Self(Outcome::Known(result))
    }

    pub(crate) fn awaited(outcome: BoxFuture<'static, Result<EventId, PublishError>>) -> Self {
        Self(Outcome::Awaited(outcome))
    }

    /// Returns the id of the event, or of the last one if there were several. Needs no runtime.
    ///
    /// # Errors
    ///
    /// Errors if nothing was published: see [`PublishError`]. With a backplane, returns [`PublishError::Pending`] as long as
    /// the outcome is not known.
    pub fn try_result(self) -> Result<EventId, PublishError> {
        match self.0 {
            Outcome::Known(result) => result.map(Position::id),
            Outcome::Awaited(outcome) => outcome.now_or_never().unwrap_or(Err(PublishError::Pending)),
        }
    }
}

/// # Cancel safety
///
/// Dropping the future does not affect the publish.
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
