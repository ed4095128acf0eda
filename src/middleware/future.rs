//! The future of the layer's response.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::{BodyKind, SseBody},
    event_service::{AnswerFuture, PendingAnswer},
    inner::InnerFuture,
    oneshot::Oneshot,
    respond::{DecorateContext, StreamRequest},
    settings::LayerSettings,
};
use crate::{
    answer::IntoReply,
    negotiate::{headers, last_event_id::LastEventId, refusal::Refusal},
};

pin_project! {
    /// The future of [`Sse`](crate::Sse).
    ///
    /// `F` is the future of the event service, `SF` that of the inner service; a request has one of them. Dropping the
    /// response's future drops it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, SF> {
        #[pin]
        kind: FutureState<F, SF>,
    }
}

pin_project! {
    #[project = FutureStateProj]
    enum FutureState<F, SF> {
        // The inner service answers. `vary` is set if `Accept` was consulted.
        Inner { #[pin] future: SF, vary: bool },
        // The inner service answers, perhaps with an event stream. The call, or the response, waits for room if there is none.
        Decorate { #[pin] future: SF, context: Option<DecorateContext> },
        // There is no room for the event stream that the inner service was expected to answer.
        NotAdmitted { refusal: Option<Refusal>, context: DecorateContext },
        // The event service answers. Its future is boxed, since it may have to move into the body.
        Events { pending: Option<Pin<Box<PendingAnswer<F>>>>, request: StreamRequest },
        // Refused before any service was called.
        Refused { refusal: Option<Refusal>, request: StreamRequest },
    }
}

impl<F, SF> ResponseFuture<F, SF> {
    #[inline]
    pub(crate) fn inner(future: SF, vary: bool) -> Self {
        Self { kind: FutureState::Inner { future, vary } }
    }

    pub(crate) fn decorate(future: SF, context: DecorateContext) -> Self {
        Self { kind: FutureState::Decorate { future, context: Some(context) } }
    }

    pub(crate) fn not_admitted(refusal: Refusal, context: DecorateContext) -> Self {
        Self { kind: FutureState::NotAdmitted { refusal: Some(refusal), context } }
    }

    pub(crate) fn refuse<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        let request = StreamRequest::new(settings, request, vary);
        Self { kind: FutureState::Refused { refusal: Some(Refusal::not_acceptable()), request } }
    }
}

impl<E, B, SF> ResponseFuture<Oneshot<E, Request<B>>, SF>
where
    E: Service<Request<B>, Response: IntoReply, Error: Into<Refusal>>,
{
    pub(crate) fn events(events: E, mut request: Request<B>, settings: &Arc<LayerSettings>, vary: bool) -> Self {
        LastEventId::store_query_id(&mut request, settings.last_event_id_query.as_deref());
        let mut stream = StreamRequest::new(settings, &request, vary);
        if let Err(refusal) = stream.admit(&mut request) {
            return Self { kind: FutureState::Refused { refusal: Some(refusal), request: stream } };
        }
        let pending = stream.pending(Oneshot::new(events, request));
        Self { kind: FutureState::Events { pending: Some(Box::pin(pending)), request: stream } }
    }
}

impl<F, SF> Future for ResponseFuture<F, SF>
where
    F: AnswerFuture,
    SF: InnerFuture,
{
    type Output = Responded<F, SF>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            FutureStateProj::Inner { future, vary } => {
                let mut response = ready!(future.poll_response(cx))?.map(|body| SseBody::new(BodyKind::Inner { body }));
                if *vary {
                    headers::vary_by_accept(response.headers_mut());
                }
                Poll::Ready(Ok(response))
            }
            FutureStateProj::Decorate { future, context } => {
                let Some(decorate) = context else { return Poll::Pending };
                let response = ready!(poll_decorated(future, decorate, cx));
                // A permit that no stream has taken goes back, also if the caller keeps this future.
                *context = None;
                Poll::Ready(response)
            }
            FutureStateProj::NotAdmitted { refusal, context } => {
                let Some(refusal) = refusal.take() else { return Poll::Pending };
                Poll::Ready(Ok(context.refuse(refusal)))
            }
            FutureStateProj::Events { pending, request } => {
                if let Err(refusal) = ready!(request.poll_admitted(cx)) {
                    *pending = None;
                    return Poll::Ready(Ok(request.refuse(refusal)));
                }
                let Some(service) = pending else { return Poll::Pending };
                let answer = ready!(service.as_mut().poll(cx));
                Poll::Ready(Ok(request.respond(answer, pending.take())))
            }
            FutureStateProj::Refused { refusal, request } => {
                let Some(refusal) = refusal.take() else { return Poll::Pending };
                Poll::Ready(Ok(request.refuse(refusal)))
            }
        }
    }
}

type Responded<F, SF> = Result<Response<SseBody<F, <SF as InnerFuture>::Body>>, <SF as InnerFuture>::Error>;

/// Polls the inner service, and decorates its response.
fn poll_decorated<F, SF>(
    mut inner: Pin<&mut SF>,
    context: &mut DecorateContext,
    cx: &mut Context<'_>,
) -> Poll<Responded<F, SF>>
where
    F: AnswerFuture,
    SF: InnerFuture,
{
    loop {
        // Waits for room first, either before the inner service is called or with its response kept.
        if let Err(refusal) = ready!(context.poll_admitted(cx)) {
            inner.release();
            return Poll::Ready(Ok(context.refuse(refusal)));
        }
        let response = ready!(inner.as_mut().poll_response(cx))?;
        if context.needs_admission(&response) {
            if let Err(refusal) = context.admit() {
                return Poll::Ready(Ok(context.refuse(refusal)));
            }
            if context.is_waiting() {
                inner.as_mut().put_back(response);
                continue;
            }
        }
        return Poll::Ready(Ok(context.respond(response)));
    }
}

impl<F, SF> fmt::Debug for ResponseFuture<F, SF> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
