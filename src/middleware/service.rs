//! The service that the layer creates.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::SseBody, future::ResponseFuture, inner::InnerCall, oneshot::Oneshot, respond::DecorateContext,
    settings::LayerSettings,
};
use crate::{
    answer::IntoReply,
    error::BoxError,
    negotiate::{accept::Decision, last_event_id::LastEventId, refusal::Refusal, request_head::RequestHead},
};

/// A service with an event service beside it; created by [`SseLayer`](crate::SseLayer).
///
/// The service is ready when the inner service is ready, so an inner service at its capacity delays requests for events, too. A request
/// for events then releases the capacity that was reserved for it.
#[derive(Clone)]
pub struct Sse<S, E> {
    inner: S,
    events: E,
    settings: Arc<LayerSettings>,
}

impl<S, E> Sse<S, E> {
    /// Creates a service with default settings: `events` answers requests for events, `inner` all others.
    ///
    /// A layer sets anything else: [`SseLayer::new`](crate::SseLayer::new).
    pub fn new(inner: S, events: E) -> Self {
        Self::with_settings(inner, events, Arc::new(LayerSettings::new(false)))
    }

    pub(crate) fn with_settings(inner: S, events: E, settings: Arc<LayerSettings>) -> Self {
        Self { inner, events, settings }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Converts into the inner service.
    pub fn into_inner(self) -> S {
        self.inner
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
    type Future = ResponseFuture<Oneshot<E, Request<B>>, InnerCall<S, Request<B>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.settings.decorates {
            return self.decorate(request);
        }
        let (decision, consulted_accept) = self.settings.decide(&request);
        match decision {
            Decision::Inner => ResponseFuture::inner(InnerCall::called(self.inner.call(request)), consulted_accept),
            Decision::NotAcceptable => {
                self.release_inner();
                ResponseFuture::refuse(&self.settings, &request, consulted_accept)
            }
            Decision::Stream => {
                self.release_inner();
                ResponseFuture::events(self.events.clone(), request, &self.settings, consulted_accept)
            }
        }
    }
}

impl<S: Clone, E> Sse<S, E> {
    /// Replaces the inner service, which is ready and will not be called, by a clone. This releases the permits that it holds.
    fn release_inner(&mut self) {
        self.inner = self.inner.clone();
    }

    /// Calls the inner service, unless there is no room for the stream that it is expected to answer.
    fn decorate<F, B>(&mut self, mut request: Request<B>) -> ResponseFuture<F, InnerCall<S, Request<B>>>
    where
        S: Service<Request<B>>,
    {
        LastEventId::store_query_id(&mut request, self.settings.last_event_id_query.as_deref());
        let mut context = DecorateContext::new(&self.settings, &mut request);
        let expects = self.settings.streams.is_some() && self.settings.expects_stream(&RequestHead::new(&request));
        if expects {
            if let Err(refusal) = context.admit() {
                self.release_inner();
                return ResponseFuture::not_admitted(refusal, context);
            }
            if context.is_waiting() {
                let inner = self.inner.clone();
                self.release_inner();
                return ResponseFuture::decorate(InnerCall::delayed(inner, request), context);
            }
        }
        ResponseFuture::decorate(InnerCall::called(self.inner.call(request)), context)
    }
}

impl<S: fmt::Debug, E> fmt::Debug for Sse<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("inner", &self.inner).field("settings", &self.settings).finish_non_exhaustive()
    }
}
