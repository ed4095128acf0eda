//! The service that the layer makes, and the event services that it makes itself.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::SseBody,
    future::{Inside, Oneshot, ResponseFuture},
    respond::DecorateContext,
    settings::LayerSettings,
};
use crate::{
    answer::{Events, IntoAnswer, IntoReply, Reply},
    body::never::Never,
    error::BoxError,
    negotiate::{accept::Decision, last_event_id::LastEventId, refusal::Refusal, request_head::RequestHead},
};

/// A service with an event service beside it; made by [`SseLayer`](crate::SseLayer).
///
/// It is ready when the service inside is: one that is full delays requests for events too. A request for events holds
/// nothing of the service inside.
#[derive(Clone)]
pub struct Sse<S, E> {
    inner: S,
    events: E,
    settings: Arc<LayerSettings>,
}

impl<S, E> Sse<S, E> {
    pub(crate) fn new(inner: S, events: E, settings: Arc<LayerSettings>) -> Self {
        Self { inner, events, settings }
    }
}

impl<S, E, B, IB> Service<Request<B>> for Sse<S, E>
where
    S: Service<Request<B>, Response = Response<IB>> + Clone,
    E: Service<Request<B>, Response: IntoReply, Error: Into<Refusal>> + Clone,
    IB: Body<Error: Into<BoxError>>,
{
    type Response = Response<SseBody<Oneshot<E, Request<B>>, IB>>;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<E, Request<B>>, Inside<S, Request<B>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.settings.decorates {
            return self.decorate(request);
        }
        let (decision, looked) = self.settings.decide(&request);
        match decision {
            Decision::Inside => ResponseFuture::inside(Inside::called(self.inner.call(request)), looked),
            Decision::NotAcceptable => {
                self.release_inner();
                ResponseFuture::refuse(&self.settings, &request, looked)
            }
            Decision::Stream => {
                self.release_inner();
                ResponseFuture::events(self.events.clone(), request, &self.settings, looked)
            }
        }
    }
}

impl<S: Clone, E> Sse<S, E> {
    /// The readied service goes unused: a clone takes its place, so that no permit stays held by it.
    fn release_inner(&mut self) {
        self.inner = self.inner.clone();
    }

    /// Calls the service inside, unless there is no room for the stream that it is expected to answer.
    fn decorate<F, B>(&mut self, mut request: Request<B>) -> ResponseFuture<F, Inside<S, Request<B>>>
    where
        S: Service<Request<B>>,
    {
        LastEventId::note(&mut request, self.settings.last_event_id_query.as_deref());
        let mut decorate = DecorateContext::new(&self.settings, &mut request);
        let expects = self.settings.streams.is_some() && self.settings.expects_stream(&RequestHead::new(&request));
        if expects {
            if let Err(refusal) = decorate.admit() {
                self.release_inner();
                return ResponseFuture::not_admitted(refusal, decorate);
            }
            if decorate.is_waiting() {
                let later = self.inner.clone();
                self.release_inner();
                return ResponseFuture::decorate(Inside::later(later, request), decorate);
            }
        }
        ResponseFuture::decorate(Inside::called(self.inner.call(request)), decorate)
    }
}

impl<S: fmt::Debug, E> fmt::Debug for Sse<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("inner", &self.inner).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// An event service out of an async function; made by [`SseLayer::from_fn`](crate::SseLayer::from_fn).
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
    Fut: Future<Output: IntoAnswer>,
{
    type Response = Reply<<Fut::Output as IntoAnswer>::Source, <Fut::Output as IntoAnswer>::Body>;
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
    /// The answer of a [`FromFn`].
    #[derive(Debug)]
    pub struct FromFnFuture<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> Future for FromFnFuture<Fut>
where
    Fut: Future<Output: IntoAnswer>,
{
    type Output = Result<Reply<<Fut::Output as IntoAnswer>::Source, <Fut::Output as IntoAnswer>::Body>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(IntoAnswer::into_answer)
    }
}

/// The event service of a layer that only [decorates](crate::SseLayer::decorate): no request gets to it.
#[derive(Debug, Clone)]
pub struct NoEvents(pub(crate) ());

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
