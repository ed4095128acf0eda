//! The call of an event service for one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::event_service::{AnswerFuture, EventResult, sealed};
use crate::{answer::IntoReply, negotiate::refusal::Refusal};

pin_project! {
    /// The future that waits until an event service is ready, calls it once and resolves to its answer.
    #[must_use = "futures do nothing unless polled"]
    pub struct Oneshot<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        state: OneshotState<S, R, S::Future>,
    }
}

pin_project! {
    #[project = OneshotStateProj]
    enum OneshotState<S, R, F> {
        NotReady { service: S, request: Option<R> },
        Called { #[pin] future: F },
    }
}

impl<S: Service<R>, R> Oneshot<S, R> {
    pub(crate) fn new(service: S, request: R) -> Self {
        Self { state: OneshotState::NotReady { service, request: Some(request) } }
    }
}

impl<S: Service<R>, R> sealed::Sealed for Oneshot<S, R> {}

impl<S, R> AnswerFuture for Oneshot<S, R>
where
    S: Service<R, Response: IntoReply, Error: Into<Refusal>>,
{
    type Source = <S::Response as IntoReply>::Source;
    type Body = <S::Response as IntoReply>::Body;

    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<EventResult<Self>> {
        let mut state = self.project().state;
        if let OneshotStateProj::NotReady { service, request } = state.as_mut().project() {
            ready!(service.poll_ready(cx)).map_err(Into::into)?;
            if let Some(request) = request.take() {
                let future = service.call(request);
                // Drops the service at the call, so that it holds nothing while the answer is pending.
                state.set(OneshotState::Called { future });
            }
        }
        match state.project() {
            OneshotStateProj::Called { future } => {
                future.poll(cx).map(|answer| answer.map_err(Into::into).and_then(IntoReply::into_reply))
            }
            OneshotStateProj::NotReady { .. } => Poll::Pending,
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for Oneshot<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot").finish_non_exhaustive()
    }
}
