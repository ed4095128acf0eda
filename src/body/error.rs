//! Provides the error of a response's body.

use std::{error::Error, fmt};

use crate::error::BoxError;

/// An error of a response's body, as [`SseBody::Error`](crate::SseBody).
///
/// Wraps the error of the body that was passed on, which [`source`](Error::source) returns. Layers around layers, and bodies
/// whose error is a [`BoxError`], add no other wrapper. `BoxError` itself does not implement [`Error`], which frameworks with
/// a bridge for tower require of a body, for example salvo.
///
/// ```
/// use tower_sse::BodyError;
///
/// fn is_timeout(error: &BodyError) -> bool {
///     error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
/// }
/// ```
#[derive(Debug)]
pub struct BodyError(BoxError);

impl BodyError {
    /// Wraps an error, unless it is wrapped already.
    pub(crate) fn new(error: BoxError) -> Self {
        Self(Self::unwrap(error))
    }

    /// Returns the wrapped error if the error is a `BodyError`, and the error itself otherwise.
    pub(crate) fn unwrap(error: BoxError) -> BoxError {
        match error.downcast::<Self>() {
            Ok(wrapper) => wrapper.0,
            Err(error) => error,
        }
    }

    /// Returns a reference to the wrapped error if its type is `E`.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// Returns the wrapped error.
    #[must_use]
    pub fn into_inner(self) -> BoxError {
        self.0
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of the response failed")
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
