//! How frames of any body become frames of bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};

use super::error::BodyError;
use crate::error::BoxError;

/// Polls for the next frame. Copies nothing if its data are [`Bytes`]; an error comes boxed, and a box as it is. The error of
/// another layer's body comes without its wrapper.
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

/// The same for a body that is passed on.
pub(crate) fn poll_passed<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>
where
    B: Body<Error: Into<BoxError>>,
{
    poll_bytes(body, cx).map_err(BodyError::new)
}
