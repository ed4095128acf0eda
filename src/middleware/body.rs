//! The body of the layer's responses.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::event_service::{AnswerFuture, ServiceSource};
use crate::{
    body::{decorated::Decorated, error::BodyError, frames::poll_passed, running::Running},
    error::BoxError,
};

pin_project! {
    /// The body of a response of [`Sse`](crate::Sse): an event stream, or the unchanged body of the service that answered.
    ///
    /// `F` is the future of the event service, `IB` the body of the inner service. Bodies that are not event streams keep
    /// their frames, trailers, errors and size hints; an error is wrapped in a [`BodyError`]. An event stream returns an
    /// error only if it is [aborted](crate::EarlyEnd).
    ///
    /// The state of an event stream is boxed, so that other bodies stay small.
    pub struct SseBody<F, IB>
    where
        F: AnswerFuture,
    {
        #[pin]
        kind: BodyKind<F, IB>,
    }
}

pin_project! {
    #[project = BodyKindProj]
    pub(crate) enum BodyKind<F, IB>
    where
        F: AnswerFuture,
    {
        // A body of the inner service.
        Inner { #[pin] body: IB },
        // A body of the event service that is not an event stream.
        EventService { #[pin] body: F::Body },
        // A short text, or nothing.
        Full { bytes: Bytes },
        // A stream of the event service.
        Events { running: Pin<Box<Running<ServiceSource<F>>>> },
        // A decorated stream of the inner service.
        Decorated { running: Pin<Box<Running<Decorated<IB>>>> },
    }
}

impl<F: AnswerFuture, IB> SseBody<F, IB> {
    pub(crate) fn new(kind: BodyKind<F, IB>) -> Self {
        Self { kind }
    }

    /// Creates an empty body.
    pub(crate) fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Creates a body of one frame.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::new(BodyKind::Full { bytes })
    }
}

/// An empty body. Outer layers that create responses require it, such as tower-http's `TimeoutLayer`.
impl<F: AnswerFuture, IB> Default for SseBody<F, IB> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<F, IB> Body for SseBody<F, IB>
where
    F: AnswerFuture,
    IB: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            BodyKindProj::Inner { body } => poll_passed(body, cx),
            BodyKindProj::EventService { body } => poll_passed(body, cx),
            BodyKindProj::Full { bytes } if bytes.is_empty() => Poll::Ready(None),
            BodyKindProj::Full { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            BodyKindProj::Events { running } => running.as_mut().poll_frame(cx),
            BodyKindProj::Decorated { running } => running.as_mut().poll_frame(cx),
        }
    }

    /// Returns `false` for an event stream until it has ended: hyper and tonic drop a body that has ended unpolled.
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Inner { body } => body.is_end_stream(),
            BodyKind::EventService { body } => body.is_end_stream(),
            BodyKind::Full { bytes } => bytes.is_empty(),
            BodyKind::Events { running } => running.is_done(),
            BodyKind::Decorated { running } => running.is_done(),
        }
    }

    /// Returns no bounds for an event stream, also if a decorated body has exact ones: hyper would cut the bytes that are added.
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Inner { body } => body.size_hint(),
            BodyKind::EventService { body } => body.size_hint(),
            // An empty body has no length: it may be the response to a HEAD request, or a 204.
            BodyKind::Full { bytes } if bytes.is_empty() => SizeHint::new(),
            BodyKind::Full { bytes } => SizeHint::with_exact(bytes.len() as u64),
            BodyKind::Events { .. } | BodyKind::Decorated { .. } => SizeHint::new(),
        }
    }
}

impl<F: AnswerFuture, IB> fmt::Debug for SseBody<F, IB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            BodyKind::Inner { .. } => "Inner",
            BodyKind::EventService { .. } => "EventService",
            BodyKind::Full { .. } => "Full",
            BodyKind::Events { .. } => "Events",
            BodyKind::Decorated { .. } => "Decorated",
        };
        f.debug_struct("SseBody").field("kind", &kind).finish_non_exhaustive()
    }
}
