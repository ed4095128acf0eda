//! What response comes of an answer: of the event service's, in time or not, or of the service inside, decorated.

use std::{pin::Pin, sync::Arc};

use http::{HeaderMap, Method, Request, Response};

use crate::{
    Refusal, Reply, SseBody, StreamSettings,
    answer::{Answer, EventFuture, FromService, Waiting},
    body::{
        Kind,
        decorated::{Decorated, Splice},
        guard::Guarded,
        running::Running,
        slot::{Attach, Mark},
        source::Pull,
        state::State,
    },
    headers,
    layer_settings::LayerSettings,
    observe::{Observed, OwnedHead},
};

/// What is left of a request for events once the event service has it.
pub(crate) struct Asked {
    layer: Lookout,
    method: Method,
    /// `Accept` was looked at.
    vary: bool,
}

/// What it takes to decorate a response.
pub(crate) struct Decorate(Lookout);

/// The layer's settings, and the request's head if somebody looks.
struct Lookout {
    settings: Arc<LayerSettings>,
    head: Option<Box<OwnedHead>>,
}

impl Asked {
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        Self { layer: Lookout::new(settings, request), method: request.method().clone(), vary }
    }

    /// The event service, on its way to an answer.
    pub(crate) fn waiting<F: EventFuture>(&self, future: F) -> Waiting<F> {
        let settings = &self.layer.settings;
        Waiting::new(future, self.method.clone(), settings.commit_after(), self.layer.splice())
    }

    /// The head, and the body that begins. Takes the event service along if it has not answered.
    pub(crate) fn respond<F: EventFuture, IB>(
        &self,
        answer: Option<Answer<F>>,
        waiting: Option<Pin<Box<Waiting<F>>>>,
    ) -> Response<SseBody<F, IB>> {
        match (answer, waiting) {
            (Some(Ok(Reply::Events(events))), _) => {
                let (source, own, headers) = events.into_parts();
                self.stream(headers, own, FromService::Events { source })
            }
            (Some(Ok(Reply::Response(response))), _) => self.response(response),
            (Some(Err(refusal)), _) => self.refuse(refusal),
            (None, Some(waiting)) => {
                let source = FromService::Late { waiting: Guarded::new(waiting) };
                self.stream(HeaderMap::new(), StreamSettings::new(), source)
            }
            (None, None) => self.finish(Response::new(SseBody::empty())),
        }
    }

    pub(crate) fn refuse<F: EventFuture, IB>(&self, refusal: Refusal) -> Response<SseBody<F, IB>> {
        self.layer.refused(&refusal);
        let response = refusal.into_http(&self.method);
        self.finish(response.map(|bytes| match headers::is_head(&self.method) {
            true => SseBody::empty(),
            false => SseBody::new(Kind::Whole { bytes }),
        }))
    }

    fn stream<F: EventFuture, IB>(
        &self,
        headers: HeaderMap,
        own: StreamSettings,
        source: FromService<F>,
    ) -> Response<SseBody<F, IB>> {
        self.run(headers::stream_head(headers), own, source)
    }

    /// A response of the event service: decorated if it is an event stream, else as it is.
    fn response<F: EventFuture, IB>(&self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        if headers::is_head(&self.method) {
            return self.head_only(response);
        }
        let own = match self.layer.meet(&mut response) {
            Met::Stranger | Met::Ours => {
                return self.finish(response.map(|body| SseBody::new(Kind::Own { body })));
            }
            Met::Stream(own) => own,
        };
        headers::decorate_head(response.headers_mut());
        let (parts, body) = response.into_parts();
        let source = FromService::Response { source: Decorated::new(body, self.layer.splice()) };
        self.run(Response::from_parts(parts, ()), own, source)
    }

    /// The head that the same request with GET would get, without a body, and without a stream that opens.
    fn head_only<F: EventFuture, IB>(&self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        let ours = response.extensions().get::<Mark>().is_some();
        if !ours && headers::can_decorate(response.status(), response.headers()) {
            headers::decorate_head(response.headers_mut());
        }
        self.finish(response.map(|_| SseBody::empty()))
    }

    /// The stream begins; for a HEAD request it is dropped unpolled, and is none.
    fn run<F: EventFuture, IB>(
        &self,
        mut response: Response<()>,
        own: StreamSettings,
        source: FromService<F>,
    ) -> Response<SseBody<F, IB>> {
        response.extensions_mut().insert(Mark::done());
        if headers::is_head(&self.method) {
            return self.finish(response.map(|()| SseBody::empty()));
        }
        let running = self.layer.running(source, own);
        self.finish(response.map(|()| SseBody::new(Kind::Events { running })))
    }

    fn finish<B>(&self, mut response: Response<B>) -> Response<B> {
        if self.vary {
            headers::vary_by_accept(response.headers_mut());
        }
        response
    }
}

impl Decorate {
    /// `None` for a request whose response has no body.
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>) -> Option<Self> {
        (!headers::is_head(request.method())).then(|| Self(Lookout::new(settings, request)))
    }

    pub(crate) fn respond<F: EventFuture, IB>(self, mut response: Response<IB>) -> Response<SseBody<F, IB>>
    where
        Decorated<IB>: Pull,
    {
        let own = match self.0.meet(&mut response) {
            Met::Stranger | Met::Ours => return response.map(|body| SseBody::new(Kind::Inside { body })),
            Met::Stream(own) => own,
        };
        headers::decorate_head(response.headers_mut());
        response.extensions_mut().insert(Mark::done());
        response.map(|body| {
            let running = self.0.running(Decorated::new(body, self.0.splice()), own);
            SseBody::new(Kind::Decorated { running })
        })
    }
}

/// What a response turns out to be.
enum Met {
    /// Not an event stream, or not one that can be added to.
    Stranger,
    /// A stream of this crate's, which now has what the layer has.
    Ours,
    /// An event stream, with these settings of its own.
    Stream(StreamSettings),
}

impl Lookout {
    fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>) -> Self {
        let head = settings.observer.is_some().then(|| Box::new(OwnedHead::copy(request)));
        Self { settings: Arc::clone(settings), head }
    }

    fn meet<B>(&self, response: &mut Response<B>) -> Met {
        if !headers::can_decorate(response.status(), response.headers()) {
            return Met::Stranger;
        }
        if let Some(mark) = response.extensions_mut().get_mut::<Mark>() {
            if let Some(slot) = mark.take() {
                slot.fill(Attach::Layer(Arc::clone(&self.settings.stream), self.opened()));
            }
            return Met::Ours;
        }
        Met::Stream(response.extensions_mut().remove().unwrap_or_default())
    }

    fn running<S: Pull>(&self, source: S, own: StreamSettings) -> Pin<Box<Running<S>>> {
        let state = State::new(own.over(&self.settings.stream), self.opened());
        Box::pin(Running::new(source, state))
    }

    fn splice(&self) -> Splice {
        Splice { on_error: self.settings.upstream_error, counts: self.head.is_some() }
    }

    fn opened(&self) -> Option<Box<Observed>> {
        self.head.as_ref()?.opened(&**self.settings.observer.as_ref()?)
    }

    fn refused(&self, refusal: &Refusal) {
        if let (Some(head), Some(observer)) = (&self.head, &self.settings.observer) {
            head.refused(&**observer, refusal);
        }
    }
}
