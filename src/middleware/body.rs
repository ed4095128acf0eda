//! The body of all answers of the layer.

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
    /// The body of a response of [`Sse`](crate::Sse): an event stream, or the untouched body of whoever answered.
    ///
    /// `F` is the event service's future, `IB` the body of the service inside. Bodies that are not event streams pass
    /// with their frames, trailers, errors and size hints; an error is wrapped in a [`BodyError`]. An event stream
    /// gives one only if it is [aborted](crate::EarlyEnd).
    ///
    /// Event streams live in a box of their own, so that the others stay small.
    pub struct SseBody<F, IB>
    where
        F: AnswerFuture,
    {
        #[pin]
        kind: BodyKind<F, IB>,
    }
}

pin_project! {
    #[project = KindProj]
    pub(crate) enum BodyKind<F, IB>
    where
        F: AnswerFuture,
    {
        // The body of the service inside.
        Inside { #[pin] body: IB },
        // The body of the event service, where it is no event stream.
        Own { #[pin] body: F::Body },
        // A short text, or nothing.
        Whole { bytes: Bytes },
        // The event service's stream.
        Events { running: Pin<Box<Running<ServiceSource<F>>>> },
        // The stream of the service inside, decorated.
        Decorated { running: Pin<Box<Running<Decorated<IB>>>> },
    }
}

impl<F: AnswerFuture, IB> SseBody<F, IB> {
    pub(crate) fn new(kind: BodyKind<F, IB>) -> Self {
        Self { kind }
    }

    /// Nothing, and known to be.
    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// A short text.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::new(BodyKind::Whole { bytes })
    }
}

/// Nothing. Layers outside that answer by themselves ask for it: tower-http's `TimeoutLayer`, for one.
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
            KindProj::Inside { body } => poll_passed(body, cx),
            KindProj::Own { body } => poll_passed(body, cx),
            KindProj::Whole { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProj::Whole { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            KindProj::Events { running } => running.as_mut().poll_frame(cx),
            KindProj::Decorated { running } => running.as_mut().poll_frame(cx),
        }
    }

    /// Never at once for an event stream: hyper and tonic would drop its body unpolled.
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Inside { body } => body.is_end_stream(),
            BodyKind::Own { body } => body.is_end_stream(),
            BodyKind::Whole { bytes } => bytes.is_empty(),
            BodyKind::Events { running } => running.is_done(),
            BodyKind::Decorated { running } => running.is_done(),
        }
    }

    /// Unknown for an event stream, also where a decorated body knew its own: hyper would cut what is added.
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Inside { body } => body.size_hint(),
            BodyKind::Own { body } => body.size_hint(),
            // Of nothing it is not said: a HEAD request's answer, or a 204, has no length.
            BodyKind::Whole { bytes } if bytes.is_empty() => SizeHint::new(),
            BodyKind::Whole { bytes } => SizeHint::with_exact(bytes.len() as u64),
            BodyKind::Events { .. } | BodyKind::Decorated { .. } => SizeHint::new(),
        }
    }
}

impl<F: AnswerFuture, IB> fmt::Debug for SseBody<F, IB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            BodyKind::Inside { .. } => "Inside",
            BodyKind::Own { .. } => "Own",
            BodyKind::Whole { .. } => "Whole",
            BodyKind::Events { .. } => "Events",
            BodyKind::Decorated { .. } => "Decorated",
        };
        f.debug_struct("SseBody").field("kind", &kind).finish_non_exhaustive()
    }
}
