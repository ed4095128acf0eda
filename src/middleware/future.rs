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

pub(crate) use super::event_service::{AnswerFuture, EventResult};
use super::{
    body::{BodyKind, SseBody},
    event_service::{PendingAnswer, sealed},
    respond::{DecorateContext, StreamRequest},
    settings::LayerSettings,
};
use crate::{
    answer::IntoReply,
    error::BoxError,
    negotiate::{headers, last_event_id::LastEventId, refusal::Refusal},
};

pin_project! {
    /// The future of [`Sse`](crate::Sse). `F` is the event service's, `SF` that of the service inside.
    ///
    /// Dropping it drops the one that runs.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, SF> {
        #[pin]
        kind: FutureState<F, SF>,
    }
}

pin_project! {
    #[project = KindsProj]
    enum FutureState<F, SF> {
        // The service inside answers. Its response varies by `Accept`, or not.
        Inside { #[pin] future: SF, vary: bool },
        // The service inside answers, and may answer an event stream. Both wait for a place where there is none yet.
        Decorate { #[pin] future: SF, decorate: Option<DecorateContext> },
        // There is no place for the event stream that the service inside was expected to answer.
        NotAdmitted { refusal: Option<Refusal>, decorate: DecorateContext },
        // The event service answers. In a box, since it may have to move into the body.
        Events { waiting: Option<Pin<Box<PendingAnswer<F>>>>, asked: StreamRequest },
        // Nobody is asked.
        Refused { refusal: Option<Refusal>, asked: StreamRequest },
    }
}

impl<F, SF> ResponseFuture<F, SF> {
    #[inline]
    pub(crate) fn inside(future: SF, vary: bool) -> Self {
        Self { kind: FutureState::Inside { future, vary } }
    }

    pub(crate) fn decorate(future: SF, decorate: DecorateContext) -> Self {
        Self { kind: FutureState::Decorate { future, decorate: Some(decorate) } }
    }

    pub(crate) fn not_admitted(refusal: Refusal, decorate: DecorateContext) -> Self {
        Self { kind: FutureState::NotAdmitted { refusal: Some(refusal), decorate } }
    }

    pub(crate) fn refuse<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        let asked = StreamRequest::new(settings, request, vary);
        Self { kind: FutureState::Refused { refusal: Some(Refusal::not_acceptable()), asked } }
    }
}

impl<E, B, SF> ResponseFuture<Oneshot<E, Request<B>>, SF>
where
    E: Service<Request<B>, Response: IntoReply, Error: Into<Refusal>>,
{
    pub(crate) fn events(events: E, mut request: Request<B>, settings: &Arc<LayerSettings>, vary: bool) -> Self {
        LastEventId::note(&mut request, settings.last_event_id_query.as_deref());
        let mut asked = StreamRequest::new(settings, &request, vary);
        if let Err(refusal) = asked.admit(&mut request) {
            return Self { kind: FutureState::Refused { refusal: Some(refusal), asked } };
        }
        let waiting = asked.waiting(Oneshot::new(events, request));
        Self { kind: FutureState::Events { waiting: Some(Box::pin(waiting)), asked } }
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
            KindsProj::Inside { future, vary } => {
                let mut response =
                    ready!(future.poll_response(cx))?.map(|body| SseBody::new(BodyKind::Inside { body }));
                if *vary {
                    headers::vary_by_accept(response.headers_mut());
                }
                Poll::Ready(Ok(response))
            }
            KindsProj::Decorate { future, decorate } => {
                let Some(layer) = decorate else { return Poll::Pending };
                let response = ready!(poll_decorated(future, layer, cx));
                // If there is a permit left there is no stream, and whoever holds this future on has no need of one.
                *decorate = None;
                Poll::Ready(response)
            }
            KindsProj::NotAdmitted { refusal, decorate } => {
                let Some(refusal) = refusal.take() else { return Poll::Pending };
                Poll::Ready(Ok(decorate.refuse(refusal)))
            }
            KindsProj::Events { waiting, asked } => {
                if let Err(refusal) = ready!(asked.poll_admitted(cx)) {
                    *waiting = None;
                    return Poll::Ready(Ok(asked.refuse(refusal)));
                }
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

type Responded<F, SF> = Result<Response<SseBody<F, <SF as InnerFuture>::Body>>, <SF as InnerFuture>::Error>;

/// The service inside, and what a layer that decorates makes of its answer.
fn poll_decorated<F, SF>(
    mut inside: Pin<&mut SF>,
    layer: &mut DecorateContext,
    cx: &mut Context<'_>,
) -> Poll<Responded<F, SF>>
where
    F: AnswerFuture,
    SF: InnerFuture,
{
    loop {
        // First a place, where one is waited for: before the service inside is called, or with its answer in hand.
        if let Err(refusal) = ready!(layer.poll_admitted(cx)) {
            inside.leave();
            return Poll::Ready(Ok(layer.refuse(refusal)));
        }
        let response = ready!(inside.as_mut().poll_response(cx))?;
        if layer.is_to_be_admitted(&response) {
            if let Err(refusal) = layer.admit() {
                return Poll::Ready(Ok(layer.refuse(refusal)));
            }
            if layer.is_waiting() {
                inside.as_mut().keep(response);
                continue;
            }
        }
        return Poll::Ready(Ok(layer.respond(response)));
    }
}

impl<F, SF> fmt::Debug for ResponseFuture<F, SF> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The answer of the service inside. Sealed: it is what [`Sse`](crate::Sse) makes of that service and a request.
#[expect(unnameable_types, reason = "sealed")]
pub trait InnerFuture: sealed::Sealed {
    /// The body of its response.
    type Body: Body<Error: Into<BoxError>>;
    /// Its error.
    type Error;

    /// Calls the service, if that is still to be done, and completes with its answer.
    fn poll_response(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<Self::Body>, Self::Error>>;

    /// Takes an answer back, which is the next to be given.
    fn keep(self: Pin<&mut Self>, response: Response<Self::Body>);

    /// Drops whatever there is.
    fn leave(self: Pin<&mut Self>);
}

pin_project! {
    /// The service inside and its answer to one request.
    #[must_use = "futures do nothing unless polled"]
    pub struct Inside<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        state: InsideState<S, R, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = InsideStateProj]
    enum InsideState<S, R, F, T> {
        // It waits for a place, and then until it is ready: meanwhile it holds nothing.
        Later { call: Option<Box<(S, R)>> },
        Called { #[pin] future: F },
        // Its answer waits for a place.
        Answered { response: Option<Box<T>> },
    }
}

impl<S: Service<R>, R> Inside<S, R> {
    #[inline]
    pub(crate) fn called(future: S::Future) -> Self {
        Self { state: InsideState::Called { future } }
    }

    /// A service that is not ready, and its request.
    pub(crate) fn later(service: S, request: R) -> Self {
        Self { state: InsideState::Later { call: Some(Box::new((service, request))) } }
    }
}

impl<S: Service<R>, R> sealed::Sealed for Inside<S, R> {}

impl<S, R, IB> InnerFuture for Inside<S, R>
where
    S: Service<R, Response = Response<IB>>,
    IB: Body<Error: Into<BoxError>>,
{
    type Body = IB;
    type Error = S::Error;

    #[inline]
    fn poll_response(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<IB>, S::Error>> {
        // As nearly all are.
        if let InsideStateProj::Called { future } = self.as_mut().project().state.project() {
            return future.poll(cx);
        }
        self.poll_waiting(cx)
    }

    fn keep(self: Pin<&mut Self>, response: Response<IB>) {
        self.project().state.set(InsideState::Answered { response: Some(Box::new(response)) });
    }

    fn leave(self: Pin<&mut Self>) {
        self.project().state.set(InsideState::Answered { response: None });
    }
}

impl<S, R, IB> Inside<S, R>
where
    S: Service<R, Response = Response<IB>>,
{
    #[cold]
    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<IB>, S::Error>> {
        let mut state = self.project().state;
        if let InsideStateProj::Later { call } = state.as_mut().project() {
            let Some((service, _)) = call.as_deref_mut() else { return Poll::Pending };
            ready!(service.poll_ready(cx))?;
            let Some(call) = call.take() else { return Poll::Pending };
            let (mut service, request) = *call;
            let future = service.call(request);
            state.set(InsideState::Called { future });
        }
        match state.project() {
            InsideStateProj::Called { future } => future.poll(cx),
            InsideStateProj::Answered { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                None => Poll::Pending,
            },
            InsideStateProj::Later { .. } => Poll::Pending,
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for Inside<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").finish_non_exhaustive()
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
