//! What response comes of an answer: of the event service's, in time or not, or of the service inside, decorated.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};

use crate::{
    Refusal, Reply, RequestHead, SseBody, StreamSettings,
    access::Checks,
    answer::{Answer, EventFuture, FromService, Waiting},
    body::{
        Kind,
        decorated::{Decorated, Splice},
        guard::Guarded,
        record::Record,
        running::Running,
        slot::{Attach, Layered, Mark},
        source::Pull,
        state::State,
    },
    headers,
    layer_settings::LayerSettings,
    observe::{Observed, OwnedHead},
    streams::{NotAdmitted, Permit},
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

/// The layer's settings, and what somebody who looks or counts needs of the request.
struct Lookout {
    settings: Arc<LayerSettings>,
    noted: Option<Box<Noted>>,
}

/// What is noted of a request for those who look at its stream, or count it.
struct Noted {
    head: Option<Arc<OwnedHead>>,
    method: Method,
    key: Result<Option<Arc<str>>, NotAdmitted>,
    permit: Option<Permit>,
}

impl Asked {
    pub(crate) fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>, vary: bool) -> Self {
        Self { layer: Lookout::new(settings, request), method: request.method().clone(), vary }
    }

    /// Takes a permit for the stream that may come. An answer to HEAD is none.
    pub(crate) fn admit(&mut self) -> Result<(), Refusal> {
        if headers::is_head(&self.method) { Ok(()) } else { self.layer.admit() }
    }

    /// The event service, on its way to an answer.
    pub(crate) fn waiting<F: EventFuture>(&self, future: F) -> Waiting<F> {
        let settings = &self.layer.settings;
        Waiting::new(future, self.method.clone(), settings.commit_after(), self.layer.splice())
    }

    /// The head, and the body that begins. Takes the event service along if it has not answered.
    pub(crate) fn respond<F: EventFuture, IB>(
        &mut self,
        answer: Option<Answer<F>>,
        waiting: Option<Pin<Box<Waiting<F>>>>,
    ) -> Response<SseBody<F, IB>> {
        let response = match (answer, waiting) {
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
        };
        // If there is a permit left there is no stream, and whoever holds this future on has no need of one.
        self.layer.noted = None;
        response
    }

    pub(crate) fn refuse<F: EventFuture, IB>(&self, refusal: Refusal) -> Response<SseBody<F, IB>> {
        let response = self.layer.refuse(refusal, Some(&self.method));
        self.finish(response.map(|bytes| match headers::is_head(&self.method) {
            true => SseBody::empty(),
            false => SseBody::new(Kind::Whole { bytes }),
        }))
    }

    fn stream<F: EventFuture, IB>(
        &mut self,
        headers: HeaderMap,
        own: StreamSettings,
        source: FromService<F>,
    ) -> Response<SseBody<F, IB>> {
        self.run(headers::stream_head(headers), own, source)
    }

    /// A response of the event service: decorated if it is an event stream, else as it is.
    fn response<F: EventFuture, IB>(&mut self, mut response: Response<F::Body>) -> Response<SseBody<F, IB>> {
        if headers::is_head(&self.method) {
            return self.head_only(response);
        }
        let own = match self.layer.meet(&mut response) {
            Met::Stranger | Met::Ours => {
                return self.finish(response.map(|body| SseBody::new(Kind::Own { body })));
            }
            Met::Stream(own) => own,
            Met::Refused(refusal) => return self.refuse(refusal),
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
        &mut self,
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

    pub(crate) fn respond<F: EventFuture, IB>(mut self, mut response: Response<IB>) -> Response<SseBody<F, IB>>
    where
        Decorated<IB>: Pull,
    {
        let own = match self.0.meet(&mut response) {
            Met::Stranger | Met::Ours => return response.map(|body| SseBody::new(Kind::Inside { body })),
            Met::Stream(own) => own,
            Met::Refused(refusal) => {
                let response = self.0.refuse(refusal, None);
                return response.map(|bytes| SseBody::new(Kind::Whole { bytes }));
            }
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
    /// An event stream for which there is no room.
    Refused(Refusal),
}

impl Lookout {
    fn new<B>(settings: &Arc<LayerSettings>, request: &Request<B>) -> Self {
        Self { settings: Arc::clone(settings), noted: Noted::of(settings, request) }
    }

    /// Takes a permit, if there is to be one and there is none yet.
    fn admit(&mut self) -> Result<(), Refusal> {
        if let Some(noted) = self.noted.as_mut().filter(|noted| noted.permit.is_none()) {
            noted.permit = self.settings.admit(noted.key.clone())?;
        }
        Ok(())
    }

    fn meet<B>(&mut self, response: &mut Response<B>) -> Met {
        if !headers::can_decorate(response.status(), response.headers()) {
            return Met::Stranger;
        }
        let mark = response.extensions_mut().get_mut::<Mark>().map(Mark::take);
        if let Some(None) = mark {
            return Met::Ours;
        }
        // An event service's answer has its permit; that of the service inside was not known to be a stream.
        if let Err(refusal) = self.admit() {
            return Met::Refused(refusal);
        }
        if let Some(Some(slot)) = mark {
            slot.fill(Attach::Layer(self.layered(Arc::clone(&self.settings.stream))));
            return Met::Ours;
        }
        Met::Stream(response.extensions_mut().remove().unwrap_or_default())
    }

    fn running<S: Pull>(&mut self, source: S, own: StreamSettings) -> Pin<Box<Running<S>>> {
        let layered = self.layered(own.over(&self.settings.stream));
        Box::pin(Running::new(source, State::new(layered)))
    }

    /// What the layer has for the stream that opens now.
    fn layered(&mut self, settings: Arc<StreamSettings>) -> Layered {
        let permit = self.noted.as_mut().and_then(|noted| noted.permit.take());
        let record = Record::entered(self.opened(), permit);
        let access = self.settings.access.as_ref().zip(self.head());
        let checks = access.map(|(access, head)| Checks::new(access, head));
        Layered { settings, record, checks }
    }

    fn head(&self) -> Option<&Arc<OwnedHead>> {
        self.noted.as_ref()?.head.as_ref()
    }

    fn splice(&self) -> Splice {
        Splice { on_error: self.settings.upstream_error, counts: self.settings.observer.is_some() }
    }

    fn opened(&self) -> Option<Box<Observed>> {
        self.head()?.opened(&**self.settings.observer.as_ref()?)
    }

    /// The refusal as a response to this method, or the request's own.
    fn refuse(&self, refusal: Refusal, method: Option<&Method>) -> Response<Bytes> {
        if let (Some(head), Some(observer)) = (self.head(), &self.settings.observer) {
            head.refused(&**observer, &refusal);
        }
        let noted = self.noted.as_ref().map(|noted| &noted.method);
        refusal.into_http(method.or(noted).unwrap_or(&Method::GET))
    }
}

impl Noted {
    /// `None`: nobody looks, and nobody counts.
    fn of<B>(settings: &LayerSettings, request: &Request<B>) -> Option<Box<Self>> {
        let looks = settings.observer.is_some() || settings.access.is_some();
        if !looks && settings.streams.is_none() {
            return None;
        }
        Some(Box::new(Self {
            head: looks.then(|| Arc::new(OwnedHead::copy(request))),
            method: request.method().clone(),
            key: settings.key_of(&RequestHead::new(request)),
            permit: None,
        }))
    }
}
