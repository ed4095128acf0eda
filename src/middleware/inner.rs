//! The call of the inner service for one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::event_service::sealed;
use crate::error::BoxError;

/// A future of the inner service's response. Sealed: [`Sse`](crate::Sse) creates it from that service and a request.
#[expect(unnameable_types, reason = "sealed")]
pub trait InnerFuture: sealed::Sealed {
    /// The body of the response.
    type Body: Body<Error: Into<BoxError>>;
    /// The error of the inner service.
    type Error;

    /// Polls for the response. Calls the service first, if the call was delayed.
    fn poll_response(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<Self::Body>, Self::Error>>;

    /// Keeps a response, which the next poll returns.
    fn put_back(self: Pin<&mut Self>, response: Response<Self::Body>);

    /// Drops the service, its future or its response.
    fn release(self: Pin<&mut Self>);
}

pin_project! {
    /// A call of the inner service, from a service that is not called yet to a response that is kept.
    #[must_use = "futures do nothing unless polled"]
    pub struct InnerCall<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        state: InnerCallState<S, R, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = InnerCallStateProj]
    enum InnerCallState<S, R, F, T> {
        // The request waits for room, and then until the service is ready. Meanwhile it holds nothing of the service.
        Delayed { call: Option<Box<(S, R)>> },
        Called { #[pin] future: F },
        // The response waits for room.
        Answered { response: Option<Box<T>> },
    }
}

impl<S: Service<R>, R> InnerCall<S, R> {
    #[inline]
    pub(crate) fn called(future: S::Future) -> Self {
        Self { state: InnerCallState::Called { future } }
    }

    /// Creates a call of a service that is not ready yet.
    pub(crate) fn delayed(service: S, request: R) -> Self {
        Self { state: InnerCallState::Delayed { call: Some(Box::new((service, request))) } }
    }
}

impl<S: Service<R>, R> sealed::Sealed for InnerCall<S, R> {}

impl<S, R, IB> InnerFuture for InnerCall<S, R>
where
    S: Service<R, Response = Response<IB>>,
    IB: Body<Error: Into<BoxError>>,
{
    type Body = IB;
    type Error = S::Error;

    #[inline]
    fn poll_response(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<IB>, S::Error>> {
        // The usual case: only requests that wait for room are delayed.
        if let InnerCallStateProj::Called { future } = self.as_mut().project().state.project() {
            return future.poll(cx);
        }
        self.poll_delayed(cx)
    }

    fn put_back(self: Pin<&mut Self>, response: Response<IB>) {
        self.project().state.set(InnerCallState::Answered { response: Some(Box::new(response)) });
    }

    fn release(self: Pin<&mut Self>) {
        self.project().state.set(InnerCallState::Answered { response: None });
    }
}

impl<S, R, IB> InnerCall<S, R>
where
    S: Service<R, Response = Response<IB>>,
{
    #[cold]
    fn poll_delayed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<IB>, S::Error>> {
        let mut state = self.project().state;
        if let InnerCallStateProj::Delayed { call } = state.as_mut().project() {
            let Some((service, _)) = call.as_deref_mut() else { return Poll::Pending };
            ready!(service.poll_ready(cx))?;
            let Some(call) = call.take() else { return Poll::Pending };
            let (mut service, request) = *call;
            let future = service.call(request);
            state.set(InnerCallState::Called { future });
        }
        match state.project() {
            InnerCallStateProj::Called { future } => future.poll(cx),
            InnerCallStateProj::Answered { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                None => Poll::Pending,
            },
            InnerCallStateProj::Delayed { .. } => Poll::Pending,
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for InnerCall<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InnerCall").finish_non_exhaustive()
    }
}
