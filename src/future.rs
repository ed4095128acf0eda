//! The response's future: the service inside, or the event service until its answer or the commit deadline.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    BoxError, IntoReply, LastEventId, Refusal, SseBody,
    answer::{Waiting, sealed},
    body::Kind,
    headers,
    layer_settings::LayerSettings,
    respond::{Asked, Decorate},
};
pub use crate::{
    answer::{Answer, EventFuture},
    whole::Answered,
};

pin_project! {
    /// The future of [`Sse`](crate::Sse). `F` is the event service's, `SF` that of the service inside.
    ///
    /// Dropping it drops the one that runs.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, SF> {
        #[pin]
        kind: Kinds<F, SF>,
    }
}

pin_project! {
    #[project = KindsProj]
    enum Kinds<F, SF> {
        // The service inside answers. Its response varies by `Accept`, or not.
        Inside { #[pin] future: SF, vary: bool },
        // The service inside answers, and may answer an event stream.
        Decorate { #[pin] future: SF, decorate: Option<Decorate> },
        // The event service answers. In a box, since it may have to move into the body.
        Events { waiting: Option<Pin<Box<Waiting<F>>>>, asked: Asked },
        // Nobody is asked.
        Refused { refusal: Option<Refusal>, asked: Asked },
    }
}

impl<F, SF> ResponseFuture<F, SF> {
    pub(crate) fn inside(future: SF, vary: bool) -> Self {
        Self { kind: Kinds::Inside { future, vary } }
    }

    pub(crate) fn decorate(future: SF, decorate: Option<Decorate>) -> Self {
        Self { kind: Kinds::Decorate { future, decorate } }
    }

    pub(crate) fn refuse<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        let asked = Asked::new(settings, request, vary);
        Self { kind: Kinds::Refused { refusal: Some(Refusal::not_acceptable()), asked } }
    }
}

impl<E, B, SF> ResponseFuture<Oneshot<E, Request<B>>, SF>
where
    E: Service<Request<B>, Response: IntoReply, Error: Into<Refusal>>,
{
    pub(crate) fn events(events: E, mut request: Request<B>, settings: &Arc<LayerSettings>, vary: bool) -> Self {
        LastEventId::note(&mut request, settings.last_event_id_query.as_deref());
        let mut asked = Asked::new(settings, &request, vary);
        if let Err(refusal) = asked.admit() {
            return Self { kind: Kinds::Refused { refusal: Some(refusal), asked } };
        }
        let waiting = asked.waiting(Oneshot::new(events, request));
        Self { kind: Kinds::Events { waiting: Some(Box::pin(waiting)), asked } }
    }
}

impl<F, SF, IB, E> Future for ResponseFuture<F, SF>
where
    F: EventFuture,
    SF: Future<Output = Result<Response<IB>, E>>,
    IB: Body<Error: Into<BoxError>>,
{
    type Output = Result<Response<SseBody<F, IB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindsProj::Inside { future, vary } => {
                let mut response = ready!(future.poll(cx))?.map(|body| SseBody::new(Kind::Inside { body }));
                if *vary {
                    headers::vary_by_accept(response.headers_mut());
                }
                Poll::Ready(Ok(response))
            }
            KindsProj::Decorate { future, decorate } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(match decorate.take() {
                    Some(decorate) => decorate.respond(response),
                    None => response.map(|body| SseBody::new(Kind::Inside { body })),
                }))
            }
            KindsProj::Events { waiting, asked } => {
                let Some(asking) = waiting else { return Poll::Pending };
                let answer = ready!(asking.as_mut().poll(cx));
                Poll::Ready(Ok(asked.respond(answer, waiting.take())))
            }
            KindsProj::Refused { refusal, asked } => {
                let Some(refusal) = refusal.take() else { return Poll::Pending };
                Poll::Ready(Ok(asked.refuse(refusal)))
            }
        }
    }
}

impl<F, SF> fmt::Debug for ResponseFuture<F, SF> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// A service until it is ready, and then its answer to one request.
    #[project = OneshotProj]
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

impl<S, R> EventFuture for Oneshot<S, R>
where
    S: Service<R, Response: IntoReply, Error: Into<Refusal>>,
{
    type Source = <S::Response as IntoReply>::Source;
    type Body = <S::Response as IntoReply>::Body;

    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<Self>> {
        let mut state = self.project().state;
        if let OneshotStateProj::NotReady { service, request } = state.as_mut().project() {
            ready!(service.poll_ready(cx)).map_err(Into::into)?;
            if let Some(request) = request.take() {
                let future = service.call(request);
                // The service goes here, as soon as it is of no more use.
                state.set(OneshotState::Called { future });
            }
        }
        match state.project() {
            OneshotStateProj::Called { future } => {
                future.poll(cx).map(|answer| answer.map(IntoReply::into_reply).map_err(Into::into))
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
