//! Refusals in the extensions of the responses that they became.
//!
//! A handler has neither a request nor an observer when its refusal becomes a response. The layers around it have both: they
//! find the refusal in the response, report it, and adapt the response to the method of the request.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use super::refuse;
use crate::{
    body::attach::StreamMarker,
    error::BoxError,
    event::{chunk::Chunk, encode::LastRetry},
    negotiate::{headers, refusal::Refusal, request_head::OwnedHead},
    observe::{Observer, dispatch},
    settings::StreamSettings,
    streams::attached::ClientProfile,
};

/// A refusal that a response carries.
#[derive(Clone)]
pub(crate) struct CarriedRefusal {
    shared: Arc<Shared>,
    /// The status of the refusal. A response with another status was changed on the way.
    status: StatusCode,
}

struct Shared {
    refusal: Refusal,
    /// The observers that a layer has reported the refusal to.
    observers: Mutex<Vec<Arc<dyn Observer>>>,
}

impl CarriedRefusal {
    pub(crate) fn new(refusal: Refusal, status: StatusCode) -> Self {
        Self { shared: Arc::new(Shared { refusal, observers: Mutex::default() }), status }
    }

    /// Returns the refusal that a response carries.
    pub(crate) fn of<B>(response: &Response<B>) -> Option<Self> {
        response.extensions().get().cloned()
    }

    /// Reports the refusal to these observers, except those that another layer has reported it to.
    pub(crate) fn report<'a>(&self, head: &OwnedHead, observers: impl Iterator<Item = &'a Arc<dyn Observer>>) {
        // `is_same` calls the observers, which must not happen under the lock. Layers see a response one after another.
        let before = self.reported().clone();
        let is_new = |observer: &&Arc<_>| !before.iter().any(|other| dispatch::is_same(other, observer));
        let new: Vec<_> = observers.filter(is_new).map(Arc::clone).collect();
        dispatch::refused(head, new.iter(), &self.shared.refusal);
        self.reported().extend(new);
    }

    fn reported(&self) -> MutexGuard<'_, Vec<Arc<dyn Observer>>> {
        self.shared.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adapts the response to this client and to the settings of a layer. `keep` makes a body of the present one if the
    /// response fits already, `replace` makes one of the bytes that replace it.
    ///
    /// Only a [`Refusal::later`] depends on client and settings. A response whose status was changed on the way is kept.
    pub(crate) fn answer<B, N>(
        &self,
        response: Response<B>,
        client: ClientProfile,
        settings: &StreamSettings,
        keep: impl FnOnce(B) -> N,
        replace: impl FnOnce(Bytes) -> N,
    ) -> Response<N> {
        let refusal = &self.shared.refusal;
        let is_stream = self.status == StatusCode::OK;
        let is_set = settings.omits_comments() || settings.last_retry.is_some();
        let fits = is_stream != client.reads_answers && !(is_stream && is_set);
        let stream = refusal.stream(settings).filter(|_| !fits && response.status() == self.status);
        let (mut head, body) = response.into_parts();
        let (Some(stream), Some(wait)) = (stream, refusal.retry_after()) else {
            return Response::from_parts(head, keep(body));
        };
        let body = if client.reads_answers {
            headers::drop_stream_head(&mut head.headers);
            head.headers.insert(RETRY_AFTER, wait.into());
            head.extensions.remove::<StreamMarker>();
            head.status = StatusCode::SERVICE_UNAVAILABLE;
            Bytes::new()
        } else {
            headers::drop_body_head(&mut head.headers);
            head.headers.remove(RETRY_AFTER);
            head.headers.remove(CONTENT_TYPE);
            head.headers = headers::stream_head(head.headers).into_parts().0.headers;
            head.extensions.insert(StreamMarker::Whole);
            head.status = StatusCode::OK;
            stream
        };
        head.extensions.insert(Self { shared: Arc::clone(&self.shared), status: head.status });
        Response::from_parts(head, replace(body))
    }

    /// Returns the last bytes of a stream whose head was sent before the response with this status came.
    pub(crate) fn last(&self, status: StatusCode, method: &Method, form: LastRetry) -> Chunk {
        let refusal = &self.shared.refusal;
        if refusal.retry_after().is_some() && status == self.status {
            refusal.last(method, form)
        } else {
            refuse::late_status(status)
        }
    }

    /// Returns the source of the refusal.
    pub(crate) fn into_source(self) -> Option<BoxError> {
        match Arc::try_unwrap(self.shared) {
            Ok(shared) => shared.refusal.into_source(),
            Err(shared) => shared.refusal.source().is_some().then(|| SharedSource(shared).into()),
        }
    }
}

impl Refusal {
    /// Converts into the response to this method, which carries the refusal in its extensions.
    pub(crate) fn into_http(self, method: &Method, settings: &StreamSettings) -> Response<Bytes> {
        self.for_method(method).respond(settings)
    }

    fn respond(self, settings: &StreamSettings) -> Response<Bytes> {
        let Self { answer, source } = self;
        let (mut response, answer) = answer.respond(settings);
        let carried = CarriedRefusal::new(Self { answer, source }, response.status());
        response.extensions_mut().insert(carried);
        response
    }
}

/// Converts into the response to a GET request, or to the method of [`Refusal::for_method`]. A layer around the handler adapts
/// the response to the method of the request.
impl From<Refusal> for Response<Bytes> {
    fn from(refusal: Refusal) -> Self {
        refusal.respond(&StreamSettings::new())
    }
}

/// The source of a refusal that the extensions of another response hold, too.
#[derive(Debug)]
struct SharedSource(Arc<Shared>);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.refusal.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl Error for SharedSource {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.refusal.source().and_then(|source| source.source())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.refusal, f)
    }
}

impl fmt::Debug for CarriedRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CarriedRefusal").field(&self.shared.refusal).finish()
    }
}
