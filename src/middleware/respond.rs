//! What response comes of an answer: of the event service's, in time or not, or of the service inside, decorated.

use crate::observe::dispatch;
use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response};

use super::{
    body::{BodyKind, SseBody},
    carried_refusal::CarriedRefusal,
    event_service::{AnswerFuture, EventResult, PendingAnswer, ServiceSource},
    late_layer::LateLayer,
    settings::LayerSettings,
};
use crate::{
    access::Checks,
    answer::Reply,
    body::{
        attach::{MarkedStream, StreamMarker},
        decorated::{DecorateOptions, Decorated},
        guard::CatchPanic,
        running::Running,
        source::PollSource,
        state::State,
    },
    negotiate::{
        headers,
        refusal::Refusal,
        request_head::{OwnedHead, RequestHead},
    },
    settings::{OnDrain, StreamSettings},
    streams::{
        attached::Client,
        control::StreamControl,
        error::AdmissionError,
        outer::OuterSlot,
        permit::Permit,
        waiter::{WaitBudget, Waiter},
    },
    time::jitter,
};

/// What is left of a request for events once the event service has it.
pub(crate) struct StreamRequest {
    layer: RequestContext,
    method: Method,
}

/// What it takes to decorate a response.
pub(crate) struct DecorateContext {
    layer: RequestContext,
}

/// The layer's settings, and what it needs of the request to observe or count its stream.
struct RequestContext {
    settings: Arc<LayerSettings>,
    client: Client,
    /// `Accept` was looked at.
    vary: bool,
    is_head: bool,
    noted: Option<Box<RequestSnapshot>>,
}

/// The properties of a request that are noted for observers, checks and limits.
struct RequestSnapshot {
    head: Option<Arc<OwnedHead>>,
    method: Method,
    /// The request's place among streams, where there are any.
    place: Result<Option<Permit>, AdmissionError>,
    is_admitted: bool,
    waiter: Option<Waiter>,
    /// The time that is left to wait, if a layer outside has counted it before.
    patience: Option<WaitBudget>,
    /// Layers outside that may be late.
    outer: Option<LateLayer>,
    /// This layer, if it may be late itself.
    own: Option<LateLayer>,
}

impl StreamRequest {
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        Self { layer: RequestContext::new(settings, request, vary), method: request.method().clone() }
    }

    /// Takes a place for the stream that may come, or begins to wait for one.
    pub(crate) fn admit<B>(&mut self, request: &mut Request<B>) -> Result<(), Refusal> {
        self.layer.take_place(request);
        self.layer.note_late_layer(request);
        self.layer.admit()
    }

    /// Completes when there is a place, or will not be.
    pub(crate) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.layer.poll_admitted(cx)
    }

    /// The event service, on its way to an answer.
    pub(crate) fn waiting<F: AnswerFuture>(&self, future: F) -> PendingAnswer<F> {
        let settings = &self.layer.settings;
        PendingAnswer::new(future, self.method.clone(), settings.commit_after(), self.layer.splice())
    }

    /// The head, and the body that begins. Takes the event service along if it has not answered.
    pub(crate) fn respond<F: AnswerFuture, IB>(
        &mut self,
        answer: Option<EventResult<F>>,
        waiting: Option<Pin<Box<PendingAnswer<F>>>>,
    ) -> Response<SseBody<F, IB>> {
        let response = match (answer, waiting) {
            (Some(Ok(Reply::Events(events))), _) => {
                let (source, own, headers) = events.into_parts();
                self.run(headers::stream_head(headers), own, ServiceSource::Events { source })
            }
            (Some(Ok(Reply::Response(response))), _) => self.response(response),
            (Some(Err(refusal)), _) => self.refuse(refusal),
            (None, Some(waiting)) => {
                let source = ServiceSource::Late { waiting: CatchPanic::new(waiting) };
                self.run(headers::stream_head(HeaderMap::new()), StreamSettings::new(), source)
            }
            (None, None) => self.finish(Response::new(SseBody::empty())),
        };
        // If there is a permit left there is no stream, and whoever holds this future on has no need of one.
        self.layer.noted = None;
        response
    }

    pub(crate) fn refuse<F: AnswerFuture, IB>(&self, refusal: Refusal) -> Response<SseBody<F, IB>> {
        let response = self.layer.refuse(refusal, Some(&self.method));
        self.finish(response.map(|bytes| match self.layer.is_head {
            true => SseBody::empty(),
            false => SseBody::whole(bytes),
        }))
    }

    /// A response of the event service: decorated if it is an event stream, else as it is.
    fn response<F: AnswerFuture, IB>(&mut self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        if let Some(said) = CarriedRefusal::of(&response) {
            return self.said(&said, response);
        }
        if self.layer.is_head {
            return self.head_only(response);
        }
        let own = match self.layer.inspect(&mut response) {
            Inspected::NotEventStream | Inspected::AlreadyWrapped => {
                return self.finish(response.map(|body| SseBody::new(BodyKind::Own { body })));
            }
            Inspected::Stream(own) => own,
        };
        let splice = self.layer.splice_for(&mut response);
        let (parts, body) = response.into_parts();
        let source = ServiceSource::Response { source: Box::pin(Decorated::new(body, splice.with(&own))) };
        self.run(Response::from_parts(parts, ()), own, source)
    }

    /// A response of the event service that stands for a refusal.
    fn said<F: AnswerFuture, IB>(
        &self,
        said: &CarriedRefusal,
        response: Response<F::Body>,
    ) -> Response<SseBody<F, IB>> {
        self.layer.report(said);
        let keep = |body| if self.layer.is_head { SseBody::empty() } else { SseBody::new(BodyKind::Own { body }) };
        self.finish(self.layer.answer(said, response, keep))
    }

    /// The head that the same request with GET would get, without a body, and without a stream that opens.
    fn head_only<F: AnswerFuture, IB>(&self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        let ours = response.extensions().get::<StreamMarker>().is_some();
        let (status, head) = (response.status(), response.headers());
        if !ours && headers::is_event_stream(status, head) && headers::takes_bytes(status, head) {
            headers::decorate_head(response.headers_mut());
        }
        self.finish(response.map(|_| SseBody::empty()))
    }

    /// The stream begins; for a HEAD request it is dropped unpolled, and is none.
    fn run<F: AnswerFuture, IB>(
        &mut self,
        mut response: Response<()>,
        own: StreamSettings,
        source: ServiceSource<F>,
    ) -> Response<SseBody<F, IB>> {
        if self.layer.is_head {
            return self.finish(response.map(|()| SseBody::empty()));
        }
        let is_late = matches!(source, ServiceSource::Late { .. });
        let running = self.layer.running(source, own, response.extensions_mut(), is_late);
        self.finish(response.map(|()| SseBody::new(BodyKind::Events { running })))
    }

    fn finish<B>(&self, mut response: Response<B>) -> Response<B> {
        if self.layer.vary {
            headers::vary_by_accept(response.headers_mut());
        }
        response
    }
}

impl DecorateContext {
    /// Takes a tentative place, which is settled when it is known that the answer is a stream.
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &mut Request<B>) -> Self {
        let mut layer = RequestContext::new(settings, request, false);
        layer.take_place(request);
        Self { layer }
    }

    /// Settles the place, or begins to wait for room.
    pub(crate) fn admit(&mut self) -> Result<(), Refusal> {
        self.layer.admit()
    }

    /// Returns whether there is no room yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.layer.noted.as_ref().is_some_and(|noted| noted.waiter.is_some())
    }

    /// Completes when there is room, or will not be.
    pub(crate) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.layer.poll_admitted(cx)
    }

    /// Returns whether the response is a stream whose place is not settled yet.
    pub(crate) fn is_to_be_admitted<B>(&self, response: &Response<B>) -> bool {
        self.layer.noted.as_ref().is_some_and(|noted| !noted.is_admitted) && RequestContext::is_stream(response)
    }

    pub(crate) fn refuse<F: AnswerFuture, IB>(&self, refusal: Refusal) -> Response<SseBody<F, IB>> {
        let response = self.layer.refuse(refusal, None);
        response.map(|bytes| if self.layer.is_head { SseBody::empty() } else { SseBody::whole(bytes) })
    }

    pub(crate) fn respond<F: AnswerFuture, IB>(&mut self, mut response: Response<IB>) -> Response<SseBody<F, IB>>
    where
        Decorated<IB>: PollSource,
    {
        if let Some(said) = CarriedRefusal::of(&response) {
            self.layer.report(&said);
            let keep = |body| SseBody::new(BodyKind::Inside { body });
            return self.layer.answer(&said, response, keep);
        }
        if self.layer.is_head {
            return response.map(|body| SseBody::new(BodyKind::Inside { body }));
        }
        let own = match self.layer.inspect(&mut response) {
            Inspected::NotEventStream | Inspected::AlreadyWrapped => {
                return response.map(|body| SseBody::new(BodyKind::Inside { body }));
            }
            Inspected::Stream(own) => own,
        };
        let splice = self.layer.splice_for(&mut response);
        let (mut parts, body) = response.into_parts();
        let source = Decorated::new(body, splice.with(&own));
        let running = self.layer.running(source, own, &mut parts.extensions, false);
        Response::from_parts(parts, SseBody::new(BodyKind::Decorated { running }))
    }
}

/// What a response turns out to be.
enum Inspected {
    /// Not an event stream.
    NotEventStream,
    /// A stream of this crate's, which now has what the layer has.
    AlreadyWrapped,
    /// An event stream, with these settings of its own.
    Stream(StreamSettings),
}

impl RequestContext {
    fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        Self {
            settings: settings.for_request(&RequestHead::new(request)),
            client: Client::of(request),
            vary,
            is_head: headers::is_head(request.method()),
            noted: RequestSnapshot::capture(settings, request),
        }
    }

    fn take_place<B>(&mut self, request: &mut Request<B>) {
        let (Some(noted), Some(streams)) = (&mut self.noted, &self.settings.streams) else { return };
        let key = self.settings.stream_key(&RequestHead::new(request));
        match key.and_then(|key| OuterSlot::share_or_reserve(streams, key, request)) {
            Ok((permit, patience)) => (noted.place, noted.patience) = (Ok(Some(permit)), patience),
            Err(no) => noted.place = Err(no),
        }
    }

    /// Has layers inside find this one, should its head go out without an answer.
    fn note_late_layer<B>(&mut self, request: &mut Request<B>) {
        let Some(noted) = &mut self.noted else { return };
        if !self.settings.observers.is_empty() && self.settings.commit_after().is_some() {
            noted.own = Some(LateLayer::note(&self.settings, request));
        }
    }

    /// Settles the place if there is one. If there is no room it may be worth to wait for some.
    fn admit(&mut self) -> Result<(), Refusal> {
        let Some(noted) = self.noted.as_mut().filter(|noted| !noted.is_admitted) else { return Ok(()) };
        let settled = match &noted.place {
            Ok(None) => Ok(None),
            Ok(Some(permit)) => permit.admit(noted.patience.as_ref()),
            Err(no) => Err(*no),
        };
        match settled {
            Ok(waiter) => {
                noted.is_admitted = waiter.is_none();
                noted.waiter = waiter;
                Ok(())
            }
            Err(no) => Err(self.not_admitted(no)),
        }
    }

    fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Some(noted) = &mut self.noted else { return Poll::Ready(Ok(())) };
        let (Some(waiter), Ok(Some(_))) = (&mut noted.waiter, &noted.place) else { return Poll::Ready(Ok(())) };
        let outcome = ready!(waiter.poll(cx));
        noted.waiter = None;
        noted.is_admitted = outcome.is_ok();
        Poll::Ready(outcome.map_err(|no| self.not_admitted(no)))
    }

    /// Gives the place back.
    fn not_admitted(&mut self, no: AdmissionError) -> Refusal {
        if let Some(noted) = &mut self.noted {
            noted.place = Err(no);
        }
        no.refusal(self.settings.streams.as_ref().map(|streams| streams.retry_after()).unwrap_or_default())
    }

    /// Returns whether a response is an event stream: one of this crate's, whatever its head has become, or one by its
    /// head.
    fn is_stream<B>(response: &Response<B>) -> bool {
        match response.extensions().get::<StreamMarker>() {
            Some(StreamMarker::Whole) => false,
            Some(StreamMarker::Stream(marked)) if marked.control().is_some() => true,
            _ => headers::is_event_stream(response.status(), response.headers()),
        }
    }

    /// Meets a response that is admitted if it is a stream.
    fn inspect<B>(&mut self, response: &mut Response<B>) -> Inspected {
        if !Self::is_stream(response) {
            return Inspected::NotEventStream;
        }
        match response.extensions_mut().get_mut::<StreamMarker>() {
            Some(StreamMarker::Whole) => return Inspected::AlreadyWrapped,
            Some(StreamMarker::Stream(marked)) => {
                if let Some(record) = marked.control() {
                    self.attach_to(&record, marked);
                    return Inspected::AlreadyWrapped;
                }
            }
            None => {}
        }
        Inspected::Stream(response.extensions_mut().remove().unwrap_or_default())
    }

    /// A stream of this layer's own.
    fn running<S: PollSource>(
        &mut self,
        source: S,
        own: StreamSettings,
        extensions: &mut Extensions,
        is_late: bool,
    ) -> Pin<Box<Running<S>>> {
        let record = Arc::new(StreamControl::new());
        extensions.insert(StreamMarker::of(&record, Some(Arc::clone(&self.settings) as _)));
        self.watch(&record, None, is_late);
        Box::pin(Running::new(source, State::new(own.over(&self.settings.stream), record, self.client)))
    }

    /// Gives a stream of somebody else's making what this layer has for it.
    fn attach_to(&mut self, record: &Arc<StreamControl>, marked: &mut MarkedStream) {
        let stream = &self.settings.stream;
        if marked.is_bare() {
            record.attach(|attached| {
                attached.below = Some(Arc::clone(stream));
                attached.client = self.client;
            });
        } else {
            let ends_at = stream.lifetime.and_then(|lifetime| record.opened().checked_add(jitter::shorter(lifetime)));
            let leaves = stream.on_drain == Some(OnDrain::Leave);
            if ends_at.is_some() || leaves {
                record.attach(|attached| attached.tighter.tighten(ends_at, leaves));
            }
        }
        self.watch(record, Some(marked), false);
        marked.add_layer(Arc::clone(&self.settings) as _);
    }

    /// Adds observers, checks and a place to a stream, but for what it has from another layer.
    fn watch(&mut self, record: &Arc<StreamControl>, marked: Option<&MarkedStream>, is_late: bool) {
        let Some(noted) = &mut self.noted else { return };
        if let Some(own) = noted.own.as_ref().filter(|_| is_late) {
            own.set_late();
        }
        if let Some(head) = &noted.head {
            let observers = self.settings.observers.iter();
            let outer = noted.outer.as_ref();
            let is_new = |observer: &&Arc<_>| {
                !marked.is_some_and(|marked| marked.has_observer(observer))
                    && !outer.is_some_and(|outer| outer.has_observer(observer))
            };
            if let Some(observed) = dispatch::opened(head, observers.filter(is_new)) {
                record.observe(observed);
            }
            let access = self.settings.access.as_ref();
            if let Some(access) = access.filter(|access| !marked.is_some_and(|marked| marked.has_access(access))) {
                record.attach(|attached| Checks::append(&mut attached.checks, Checks::new(access, head)));
            }
        }
        if let Ok(Some(permit)) = mem::replace(&mut noted.place, Ok(None)) {
            record.hold_permit(permit);
        }
    }

    fn splice(&self) -> DecorateOptions {
        let stream = &self.settings.stream;
        DecorateOptions {
            counts: !self.settings.observers.is_empty(),
            is_sealed: false,
            last_retry: stream.last_retry.unwrap_or_default(),
            keeps_bom: stream.omits_comments(),
        }
    }

    /// Returns how a response is taken in. Its head is made to fit bytes that are added, if they can be.
    fn splice_for<B>(&self, response: &mut Response<B>) -> DecorateOptions {
        let is_sealed = !headers::takes_bytes(response.status(), response.headers());
        if !is_sealed {
            headers::decorate_head(response.headers_mut());
        }
        DecorateOptions { is_sealed, ..self.splice() }
    }

    /// The refusal as a response to this method, or the request's own.
    fn refuse(&self, refusal: Refusal, method: Option<&Method>) -> Response<Bytes> {
        let noted = self.noted.as_ref().map(|noted| &noted.method);
        let response = refusal.into_http(method.or(noted).unwrap_or(&Method::GET), &self.settings.stream);
        if let Some(said) = CarriedRefusal::of(&response) {
            self.report(&said);
        }
        response
    }

    /// The answer to this request where the response stands for a refusal: the body of the response, or another one.
    fn answer<B, F: AnswerFuture, IB>(
        &self,
        said: &CarriedRefusal,
        response: Response<B>,
        keep: impl FnOnce(B) -> SseBody<F, IB>,
    ) -> Response<SseBody<F, IB>> {
        let replace = |bytes| if self.is_head { SseBody::empty() } else { SseBody::whole(bytes) };
        said.answer(response, self.client, &self.settings.stream, keep, replace)
    }

    /// Reports the refusal of a response to the layer's observers, but for those of a late layer outside: they know of a stream,
    /// and get its end with the source of the refusal.
    fn report(&self, said: &CarriedRefusal) {
        let Some(noted) = &self.noted else { return };
        let Some(head) = &noted.head else { return };
        let is_late = |observer: &Arc<_>| noted.outer.as_ref().is_some_and(|outer| outer.has_observer(observer));
        said.report(head, self.settings.observers.iter().filter(|observer| !is_late(observer)));
    }
}

impl RequestSnapshot {
    /// `None`: nobody looks, and nobody counts.
    fn capture<B>(settings: &LayerSettings, request: &Request<B>) -> Option<Box<Self>> {
        let looks = !settings.observers.is_empty() || settings.access.is_some();
        if !looks && settings.streams.is_none() {
            return None;
        }
        Some(Box::new(Self {
            head: looks.then(|| Arc::new(OwnedHead::copy(request))),
            method: request.method().clone(),
            place: Ok(None),
            is_admitted: false,
            waiter: None,
            patience: None,
            outer: LateLayer::of(request).filter(|_| !settings.observers.is_empty()),
            own: None,
        }))
    }
}
