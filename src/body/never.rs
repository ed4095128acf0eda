//! Provides a body and source without values, for type parameters that have no other.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::source::{PollSource, Source, SourceOutput};
use crate::event::boundary::Boundary;

/// A body and source without values: the body of a reply that is never a response, and the source of one that is never
/// events.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "it is empty")]
pub enum Never {}

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {}
    }
}

impl Source for Never {}

impl PollSource for Never {
    fn poll_output(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<SourceOutput> {
        match *self {}
    }

    fn boundary(&self) -> Boundary {
        match *self {}
    }

    fn stop_at_boundary(self: Pin<&mut Self>) {
        match *self {}
    }

    fn release(self: Pin<&mut Self>) {
        match *self {}
    }
}
