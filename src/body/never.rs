//! Bodies and sources that do not exist, for the places of a type that has no other.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::source::{Pull, Pulled, Source};
use crate::event::boundary::Place;

/// There is none of these: the body of an answer that is never a response, the source of one that is never events.
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

impl Pull for Never {
    fn poll_pull(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Pulled> {
        match *self {}
    }

    fn place(&self) -> Place {
        match *self {}
    }

    fn come_to_rest(self: Pin<&mut Self>) {
        match *self {}
    }

    fn release(self: Pin<&mut Self>) {
        match *self {}
    }
}
