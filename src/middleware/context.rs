//! The settings of a layer together with what it keeps of one request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, Method, Request, Response};

use super::{
    admission::Admission, body::SseBody, carried_refusal::CarriedRefusal, event_service::AnswerFuture,
    late_layer::LateLayer, settings::LayerSettings,
};
use crate::{
    access::Checks,
    body::{
        attach::{MarkedStream, StreamMarker},
        decorated::DecorateOptions,
        running::Running,
        source::PollSource,
        state::State,
    },
    negotiate::{
        headers,
        refusal::Refusal,
        request_head::{OwnedHead, RequestHead},
    },
    observe::dispatch,
    settings::{OnDrain, StreamSettings},
    streams::{attached::ClientProfile, control::StreamControl, error::AdmissionError},
    time::jitter,
};

/// The settings of a layer, and what it needs of a request to observe, check or count the stream of its answer.
pub(super) struct RequestContext {
    pub(super) settings: Arc<LayerSettings>,
    client: ClientProfile,
    pub(super) is_head: bool,
    /// Set if `Accept` was consulted. A field of `StreamRequest` would cost a word of padding in each future.
    pub(super) vary: bool,
    snapshot: Option<Box<RequestSnapshot>>,
}

/// The parts of a request that observers, access checks and limits need. In a box, since most layers keep none of them.
struct RequestSnapshot {
    /// `None` if there is neither an observer nor an access check.
    head: Option<Arc<OwnedHead>>,
    method: Method,
    admission: Admission,
    /// The outer layers that may send a head before the answer.
    outer: Option<LateLayer>,
    /// This layer, if it may do so.
    own: Option<LateLayer>,
}

/// The kinds of responses that a layer distinguishes.
pub(super) enum Inspected {
    /// Not an event stream.
    NotEventStream,
    /// A stream of this crate. The layer has been attached to it.
    AlreadyWrapped,
    /// An event stream, with the settings among its extensions.
    Stream(StreamSettings),
}

impl RequestContext {
    pub(super) fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        Self {
            settings: settings.for_request(&RequestHead::new(request)),
            client: ClientProfile::of(request),
            is_head: headers::is_head(request.method()),
            vary,
            snapshot: RequestSnapshot::capture(settings, request),
        }
    }

    /// Drops what is kept of the request. A permit that no stream has taken goes back, also if the caller keeps the future.
    pub(super) fn release(&mut self) {
        self.snapshot = None;
    }

    /// Takes a tentative slot, which is settled when the answer is known to be a stream.
    pub(super) fn take_slot<B>(&mut self, request: &mut Request<B>) {
        let (Some(snapshot), Some(streams)) = (&mut self.snapshot, &self.settings.streams) else { return };
        let key = self.settings.stream_key(&RequestHead::new(request));
        snapshot.admission = Admission::tentative(streams, key, request);
    }

    /// Records this layer in the request for the inner ones, if its head may go out before the answer.
    pub(super) fn record_late_layer<B>(&mut self, request: &mut Request<B>) {
        let Some(snapshot) = &mut self.snapshot else { return };
        if !self.settings.observers.is_empty() && self.settings.commit_after().is_some() {
            snapshot.own = Some(LateLayer::record(&self.settings, request));
        }
    }

    /// Returns whether the request has a slot that is not counted yet.
    pub(super) fn is_tentative(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.admission.is_admitted())
    }

    /// Returns whether the request waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.admission.is_waiting())
    }

    /// Counts the slot against the limits. If there is no room, the request may begin to wait for some.
    pub(super) fn admit(&mut self) -> Result<(), Refusal> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        snapshot.admission.admit().map_err(|error| self.refusal(error))
    }

    /// Completes when the request does not wait any more.
    pub(super) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Some(snapshot) = &mut self.snapshot else { return Poll::Ready(Ok(())) };
        let outcome = ready!(snapshot.admission.poll(cx));
        Poll::Ready(outcome.map_err(|error| self.refusal(error)))
    }

    fn refusal(&self, error: AdmissionError) -> Refusal {
        error.refusal(self.settings.streams.as_ref().map(|streams| streams.retry_after()).unwrap_or_default())
    }

    /// Returns whether a response is an event stream, by its head or since its body is a stream of this crate.
    pub(super) fn is_stream<B>(response: &Response<B>) -> bool {
        match response.extensions().get::<StreamMarker>() {
            Some(StreamMarker::Whole) => false,
            Some(StreamMarker::Stream(marked)) if marked.control().is_some() => true,
            _ => headers::is_event_stream(response.status(), response.headers()),
        }
    }

    /// Returns the kind of a response. Attaches the layer to a stream of this crate.
    pub(super) fn inspect<B>(&mut self, response: &mut Response<B>) -> Inspected {
        if !Self::is_stream(response) {
            return Inspected::NotEventStream;
        }
        match response.extensions_mut().get_mut::<StreamMarker>() {
            Some(StreamMarker::Whole) => return Inspected::AlreadyWrapped,
            Some(StreamMarker::Stream(marked)) => {
                if let Some(control) = marked.control() {
                    self.attach_to(&control, marked);
                    return Inspected::AlreadyWrapped;
                }
            }
            None => {}
        }
        Inspected::Stream(response.extensions_mut().remove().unwrap_or_default())
    }

    /// Starts a stream of the layer, and marks the response that has these extensions.
    pub(super) fn start<S: PollSource>(
        &mut self,
        source: S,
        own: StreamSettings,
        extensions: &mut Extensions,
        is_late: bool,
    ) -> Pin<Box<Running<S>>> {
        let control = Arc::new(StreamControl::new());
        extensions.insert(StreamMarker::of(&control, Some(Arc::clone(&self.settings) as _)));
        self.register(&control, None, is_late);
        Box::pin(Running::new(source, State::new(own.over(&self.settings.stream), control, self.client)))
    }

    /// Attaches the layer to a stream that exists already. To a stream without a layer it gives all its settings, otherwise
    /// those that end the stream earlier.
    fn attach_to(&mut self, control: &Arc<StreamControl>, marked: &mut MarkedStream) {
        let stream = &self.settings.stream;
        if marked.is_bare() {
            control.attach(|attached| {
                attached.layer_settings = Some(Arc::clone(stream));
                attached.client = self.client;
            });
        } else {
            let ends_at = stream.lifetime.and_then(|lifetime| control.opened().checked_add(jitter::shorter(lifetime)));
            let leaves = stream.on_drain == Some(OnDrain::Leave);
            if ends_at.is_some() || leaves {
                control.attach(|attached| attached.outer_limits.tighten(ends_at, leaves));
            }
        }
        self.register(control, Some(marked), false);
        marked.add_layer(Arc::clone(&self.settings) as _);
    }

    /// Registers the layer's observers, access checks and permit with a stream, except those that it has from another layer.
    fn register(&mut self, control: &Arc<StreamControl>, marked: Option<&MarkedStream>, is_late: bool) {
        let Some(snapshot) = &mut self.snapshot else { return };
        if let Some(own) = snapshot.own.as_ref().filter(|_| is_late) {
            own.set_late();
        }
        if let Some(head) = &snapshot.head {
            let observers = self.settings.observers.iter();
            let outer = snapshot.outer.as_ref();
            let is_new = |observer: &&Arc<_>| {
                !marked.is_some_and(|marked| marked.has_observer(observer))
                    && !outer.is_some_and(|outer| outer.has_observer(observer))
            };
            if let Some(observed) = dispatch::opened(head, observers.filter(is_new)) {
                control.observe(observed);
            }
            let access = self.settings.access.as_ref();
            if let Some(access) = access.filter(|access| !marked.is_some_and(|marked| marked.has_access(access))) {
                control.attach(|attached| Checks::append(&mut attached.checks, Checks::new(access, head)));
            }
        }
        if let Some(permit) = snapshot.admission.take_permit() {
            control.hold_permit(permit);
        }
    }

    pub(super) fn decorate_options(&self) -> DecorateOptions {
        let stream = &self.settings.stream;
        DecorateOptions {
            counts_events: !self.settings.observers.is_empty(),
            is_sealed: false,
            last_retry: stream.last_retry.unwrap_or_default(),
            keeps_bom: stream.omits_comments(),
        }
    }

    /// Prepares the head of an event stream for bytes that are added, unless its body is coded or partial. Returns the options
    /// for its body.
    pub(super) fn prepare_to_decorate<B>(&self, response: &mut Response<B>) -> DecorateOptions {
        let is_sealed = !headers::takes_bytes(response.status(), response.headers());
        if !is_sealed {
            headers::decorate_head(response.headers_mut());
        }
        DecorateOptions { is_sealed, ..self.decorate_options() }
    }

    /// Turns a refusal into a response to this method, or to that of the request, and reports it.
    pub(super) fn refuse(&self, refusal: Refusal, method: Option<&Method>) -> Response<Bytes> {
        let own = self.snapshot.as_ref().map(|snapshot| &snapshot.method);
        let response = refusal.into_http(method.or(own).unwrap_or(&Method::GET), &self.settings.stream);
        if let Some(refusal) = CarriedRefusal::of(&response) {
            self.report(&refusal);
        }
        response
    }

    /// Turns a response that carries a refusal into the one for this request. `keep` makes a body of the one that it has.
    pub(super) fn answer_refusal<B, F: AnswerFuture, IB>(
        &self,
        refusal: &CarriedRefusal,
        response: Response<B>,
        keep: impl FnOnce(B) -> SseBody<F, IB>,
    ) -> Response<SseBody<F, IB>> {
        let replace = |bytes| if self.is_head { SseBody::empty() } else { SseBody::full(bytes) };
        refusal.answer(response, self.client, &self.settings.stream, keep, replace)
    }

    /// Reports a carried refusal to the layer's observers, except those of an outer layer whose head is out: they observe a
    /// stream, and get its end with the source of the refusal.
    pub(super) fn report(&self, refusal: &CarriedRefusal) {
        let Some(snapshot) = &self.snapshot else { return };
        let Some(head) = &snapshot.head else { return };
        let is_late = |observer: &Arc<_>| snapshot.outer.as_ref().is_some_and(|outer| outer.has_observer(observer));
        refusal.report(head, self.settings.observers.iter().filter(|observer| !is_late(observer)));
    }
}

impl RequestSnapshot {
    /// Captures a request. Returns `None` if the layer has no observers, no access check and no streams.
    fn capture<B>(settings: &LayerSettings, request: &Request<B>) -> Option<Box<Self>> {
        let needs_head = !settings.observers.is_empty() || settings.access.is_some();
        if !needs_head && settings.streams.is_none() {
            return None;
        }
        Some(Box::new(Self {
            head: needs_head.then(|| Arc::new(OwnedHead::copy(request))),
            method: request.method().clone(),
            admission: Admission::uncounted(),
            outer: LateLayer::of(request).filter(|_| !settings.observers.is_empty()),
            own: None,
        }))
    }
}
