//! How frames of any body become frames of bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};

use crate::BoxError;

/// The next frame. Copies nothing where its data are [`Bytes`]; an error comes boxed, and a box as it is.
pub(crate) fn poll_bytes<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body<Error: Into<BoxError>>,
{
    body.poll_frame(cx).map(|frame| {
        frame.map(|frame| {
            frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))).map_err(Into::into)
        })
    })
}
