//! Event services that the constructors of [`SseLayer`](crate::SseLayer) create.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    answer::{Events, IntoReply, Reply},
    body::never::Never,
    negotiate::refusal::Refusal,
};

/// An event service from an async function; created by [`SseLayer::from_fn`](crate::SseLayer::from_fn).
#[derive(Clone)]
pub struct FromFn<F>(F);

impl<F> FromFn<F> {
    pub(crate) fn new(f: F) -> Self {
        Self(f)
    }
}

impl<F, B, Fut> Service<Request<B>> for FromFn<F>
where
    F: Fn(Request<B>) -> Fut,
    Fut: Future<Output: IntoReply>,
{
    type Response = Reply<<Fut::Output as IntoReply>::Source, <Fut::Output as IntoReply>::Body>;
    type Error = Refusal;
    type Future = FromFnFuture<Fut>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        FromFnFuture { future: (self.0)(request) }
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`FromFn`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct FromFnFuture<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> Future for FromFnFuture<Fut>
where
    Fut: Future<Output: IntoReply>,
{
    type Output = Result<Reply<<Fut::Output as IntoReply>::Source, <Fut::Output as IntoReply>::Body>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(IntoReply::into_reply)
    }
}

/// The event service of a layer that only [decorates](crate::SseLayer::decorate). The layer never calls it.
#[derive(Debug, Clone)]
pub struct NoEvents(pub(super) ());

impl<R> Service<R> for NoEvents {
    type Response = Events<Never>;
    type Error = Infallible;
    type Future = std::future::Pending<Result<Events<Never>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: R) -> Self::Future {
        std::future::pending()
    }
}
