//! Responses from the answers of event services and of decorated inner services.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Method, Request, Response};

use super::{
    body::{BodyKind, SseBody},
    carried_refusal::CarriedRefusal,
    context::{Inspected, RequestContext},
    event_service::{AnswerFuture, EventResult, PendingAnswer, ServiceSource},
    settings::LayerSettings,
};
use crate::{
    answer::Reply,
    body::{attach::StreamMarker, catch_panic::CatchPanic, decorated::Decorated, source::PollSource},
    negotiate::{headers, refusal::Refusal},
    settings::StreamSettings,
};

/// A request that the event service answers, without the request itself.
pub(crate) struct StreamRequest {
    context: RequestContext,
    method: Method,
}

/// A request whose answer by the inner service is decorated if it is a stream.
pub(crate) struct DecorateContext {
    context: RequestContext,
}

impl StreamRequest {
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        Self { context: RequestContext::new(settings, request, vary), method: request.method().clone() }
    }

    /// Takes a slot for the stream and counts it, or begins to wait for room.
    pub(crate) fn admit<B>(&mut self, request: &mut Request<B>) -> Result<(), Refusal> {
        self.context.take_slot(request);
        self.context.record_late_layer(request);
        self.context.admit()
    }

    /// Completes when the request does not wait for room any more.
    pub(crate) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.context.poll_admitted(cx)
    }

    /// Wraps the event service's future with the commit deadline.
    pub(crate) fn pending<F: AnswerFuture>(&self, future: F) -> PendingAnswer<F> {
        let commit_after = self.context.settings.commit_after();
        PendingAnswer::new(future, self.method.clone(), commit_after, self.context.decorate_options())
    }

    /// Returns the response to an answer. Without an answer, the commit deadline has passed: the event service moves into the
    /// body of the stream.
    pub(crate) fn respond<F: AnswerFuture, IB>(
        &mut self,
        answer: Option<EventResult<F>>,
        pending: Option<Pin<Box<PendingAnswer<F>>>>,
    ) -> Response<SseBody<F, IB>> {
        let response = match (answer, pending) {
            (Some(Ok(Reply::Events(events))), _) => {
                let (source, own, headers) = events.into_parts();
                self.start(headers::stream_head(headers), own, ServiceSource::Events { source })
            }
            (Some(Ok(Reply::Response(response))), _) => self.respond_with(response),
            (Some(Err(refusal)), _) => self.refuse(refusal),
            (None, Some(pending)) => {
                let source = ServiceSource::Pending { pending: CatchPanic::new(pending) };
                self.start(headers::stream_head(HeaderMap::new()), StreamSettings::new(), source)
            }
            (None, None) => self.apply_vary(Response::new(SseBody::empty())),
        };
        self.context.release();
        response
    }

    pub(crate) fn refuse<F: AnswerFuture, IB>(&self, refusal: Refusal) -> Response<SseBody<F, IB>> {
        let response = self.context.refuse(refusal, Some(&self.method));
        self.apply_vary(response.map(|bytes| match self.context.is_head {
            true => SseBody::empty(),
            false => SseBody::full(bytes),
        }))
    }

    /// Returns a response of the event service: decorated if it is an event stream, otherwise unchanged.
    fn respond_with<F: AnswerFuture, IB>(&mut self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        if let Some(refusal) = CarriedRefusal::of(&response) {
            return self.respond_refused(&refusal, response);
        }
        if self.context.is_head {
            return self.head_only(response);
        }
        let own = match self.context.inspect(&mut response) {
            Inspected::NotEventStream | Inspected::AlreadyWrapped => {
                return self.apply_vary(response.map(|body| SseBody::new(BodyKind::EventService { body })));
            }
            Inspected::Stream(own) => own,
        };
        let options = self.context.prepare_to_decorate(&mut response);
        let (parts, body) = response.into_parts();
        let source = ServiceSource::Response { source: Box::pin(Decorated::new(body, options.with(&own))) };
        self.start(Response::from_parts(parts, ()), own, source)
    }

    /// Returns the response to a refusal that a response of the event service carries.
    fn respond_refused<F: AnswerFuture, IB>(
        &self,
        refusal: &CarriedRefusal,
        response: Response<F::Body>,
    ) -> Response<SseBody<F, IB>> {
        self.context.report(refusal);
        let is_head = self.context.is_head;
        let keep = |body| if is_head { SseBody::empty() } else { SseBody::new(BodyKind::EventService { body }) };
        self.apply_vary(self.context.answer_refusal(refusal, response, keep))
    }

    /// Returns the head that the same request with GET would get, without a body. Opens no stream.
    fn head_only<F: AnswerFuture, IB>(&self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        let is_marked = response.extensions().get::<StreamMarker>().is_some();
        let (status, head) = (response.status(), response.headers());
        if !is_marked && headers::is_event_stream(status, head) && headers::takes_bytes(status, head) {
            headers::decorate_head(response.headers_mut());
        }
        self.apply_vary(response.map(|_| SseBody::empty()))
    }

    /// Starts the stream. Drops it unpolled if the request is a HEAD request.
    fn start<F: AnswerFuture, IB>(
        &mut self,
        mut response: Response<()>,
        own: StreamSettings,
        source: ServiceSource<F>,
    ) -> Response<SseBody<F, IB>> {
        if self.context.is_head {
            return self.apply_vary(response.map(|()| SseBody::empty()));
        }
        let is_late = matches!(source, ServiceSource::Pending { .. });
        let running = self.context.start(source, own, response.extensions_mut(), is_late);
        self.apply_vary(response.map(|()| SseBody::new(BodyKind::Events { running })))
    }

    fn apply_vary<B>(&self, mut response: Response<B>) -> Response<B> {
        if self.context.vary {
            headers::vary_by_accept(response.headers_mut());
        }
        response
    }
}

impl DecorateContext {
    /// Takes a tentative slot, which is settled when the answer is known to be a stream.
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &mut Request<B>) -> Self {
        let mut context = RequestContext::new(settings, request, false);
        context.take_slot(request);
        Self { context }
    }

    /// Counts the slot against the limits, or begins to wait for room.
    pub(crate) fn admit(&mut self) -> Result<(), Refusal> {
        self.context.admit()
    }

    /// Returns whether the request waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.context.is_waiting()
    }

    /// Completes when the request does not wait for room any more.
    pub(crate) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.context.poll_admitted(cx)
    }

    /// Returns whether the response is a stream whose slot is not counted yet.
    pub(crate) fn needs_admission<B>(&self, response: &Response<B>) -> bool {
        self.context.is_tentative() && RequestContext::is_stream(response)
    }

    pub(crate) fn refuse<F: AnswerFuture, IB>(&self, refusal: Refusal) -> Response<SseBody<F, IB>> {
        let response = self.context.refuse(refusal, None);
        response.map(|bytes| if self.context.is_head { SseBody::empty() } else { SseBody::full(bytes) })
    }

    /// Returns the response of the inner service, decorated if it is an event stream.
    pub(crate) fn respond<F: AnswerFuture, IB>(&mut self, mut response: Response<IB>) -> Response<SseBody<F, IB>>
    where
        Decorated<IB>: PollSource,
    {
        if let Some(refusal) = CarriedRefusal::of(&response) {
            self.context.report(&refusal);
            let keep = |body| SseBody::new(BodyKind::Inner { body });
            return self.context.answer_refusal(&refusal, response, keep);
        }
        if self.context.is_head {
            return response.map(|body| SseBody::new(BodyKind::Inner { body }));
        }
        let own = match self.context.inspect(&mut response) {
            Inspected::NotEventStream | Inspected::AlreadyWrapped => {
                return response.map(|body| SseBody::new(BodyKind::Inner { body }));
            }
            Inspected::Stream(own) => own,
        };
        let options = self.context.prepare_to_decorate(&mut response);
        let (mut parts, body) = response.into_parts();
        let source = Decorated::new(body, options.with(&own));
        let running = self.context.start(source, own, &mut parts.extensions, false);
        Response::from_parts(parts, SseBody::new(BodyKind::Decorated { running }))
    }
}
