//! Provides the conversion of a body's frames into frames of [`Bytes`].

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};

use super::error::BodyError;
use crate::error::BoxError;

/// Polls for the next frame. Copies nothing if its data are [`Bytes`]. Boxes an error that is not boxed, and unwraps a
/// [`BodyError`] of another layer.
pub(crate) fn poll_bytes<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body<Error: Into<BoxError>>,
{
    body.poll_frame(cx).map(|frame| {
        frame.map(|frame| {
            frame
                .map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
                .map_err(|error| BodyError::unwrap(error.into()))
        })
    })
}

/// Polls for the next frame of a body that is passed on, with its error wrapped.
pub(crate) fn poll_passed<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>
where
    B: Body<Error: Into<BoxError>>,
{
    poll_bytes(body, cx).map_err(BodyError::new)
}
