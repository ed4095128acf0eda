//! Refusals of requests for events.

use std::{convert::Infallible, error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE};

use super::headers;
use crate::{error::BoxError, time::jitter};

/// A refusal of a request for events, in a form that the client follows.
///
/// An `EventSource` that receives any status but 200 stops for good, and its page does not learn the status ([HTML §9.2.3]). So there
/// are three kinds:
///
/// | | to a GET | to other methods |
/// |---|---|---|
/// | [`stop`](Self::stop) | 204: do not reconnect | 204 |
/// | [`later`](Self::later) | 200 with a `retry:` and a clean end: reconnect then | 503 with `Retry-After` |
/// | [`status`](Self::status) | that status, for clients that read it | that status |
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Events, Refusal};
///
/// async fn events(places: usize) -> Result<Events<impl tower_sse::Source>, Refusal> {
///     if places == 0 {
///         return Err(Refusal::later(Duration::from_secs(10)));
///     }
///     let (sender, events) = Events::channel(16);
///     # drop(sender);
///     Ok(events)
/// }
/// # let _ = events(1);
/// ```
///
/// # Errors as refusals
///
/// [`internal`](Self::internal) makes a 500 of any error, whose text only the [`Observer`](crate::observe::Observer) receives. Use it to
/// propagate errors of an event service:
///
/// ```
/// use tower_sse::{Events, Refusal, Source};
///
/// # async fn connect() -> std::io::Result<()> { Ok(()) }
/// async fn events(capacity: String) -> Result<Events<impl Source>, Refusal> {
///     connect().await.map_err(Refusal::internal)?; // An error, or one of `anyhow`.
///     let capacity = capacity.parse::<usize>().map_err(|error| Refusal::internal(format!("capacity: {error}")))?; // Text.
///     let (sender, events) = Events::channel(capacity);
///     # drop(sender);
///     Ok(events)
/// }
/// # let _ = events("16".into());
/// ```
///
/// `?` alone converts a [`BoxError`] into such a refusal, a status into a refusal with that status, and a whole response into one that
/// is answered as it is.
///
/// # Refusals of handlers
///
/// A handler refuses in the same way: with feature `axum` a refusal is a response, and otherwise `Response::from(refusal)` makes one.
/// A layer around the handler, [`decorate`](crate::SseLayer::decorate) or one whose event service the handler is, answers the
/// refusal by the method of the request, and reports it with its source to its observers. It replaces the status, the body
/// and the headers of a stream, and keeps all other headers. Without a layer the response is that to a GET request, since a
/// handler's response does not know its request. [`Refusal::for_method`] makes it that to another method.
///
/// [HTML §9.2.3]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
pub struct Refusal {
    pub(crate) answer: RefusalKind,
    pub(crate) source: Option<BoxError>,
}

/// A kind of refusal.
pub(crate) enum RefusalKind {
    Stop,
    Later(Wait),
    /// [`Later`](Self::Later) for a method that does not read streams.
    Busy(Wait),
    Status(StatusCode),
    Respond(Box<Response<Bytes>>),
}

/// The time that a client should wait, in nanoseconds: a `u64` represents more than the longest time.
#[derive(Clone, Copy)]
pub(crate) struct Wait(u64);

impl Refusal {
    /// Refuses for good, by 204, after which an `EventSource` does not reconnect.
    #[must_use]
    pub fn stop() -> Self {
        RefusalKind::Stop.into()
    }

    /// Refuses until later: the client should reconnect after this time, or up to half of it longer, so that clients do not reconnect
    /// together. The time sent is 2^31 − 1 ms at most, which is 24.8 days, since some clients take a longer one for none.
    #[must_use]
    pub fn later(after: Duration) -> Self {
        RefusalKind::Later(Wait::new(after)).into()
    }

    /// Refuses with this status and an empty body. An `EventSource` stops for good at any status but 200.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        RefusalKind::Status(status).into()
    }

    /// Refuses with 500 and an empty body because of this error, which only the [`Observer`](crate::observe::Observer) receives.
    ///
    /// Converts `anyhow::Error`, `String`, `&str` and every other type that converts into [`BoxError`]:
    ///
    /// ```
    /// use tower_sse::Refusal;
    ///
    /// fn port(text: &str) -> Result<u16, Refusal> {
    ///     text.parse().map_err(Refusal::internal)
    /// }
    ///
    /// assert_eq!(port("http").unwrap_err().source().unwrap().to_string(), "invalid digit found in string");
    /// ```
    #[must_use]
    pub fn internal(error: impl Into<BoxError>) -> Self {
        Self::status(StatusCode::INTERNAL_SERVER_ERROR).with_source(error)
    }

    /// Sets the method of the request, for a handler without a layer around it. Defaults to GET. A layer uses the method of the
    /// request.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::{Method, Response, StatusCode};
    /// use tower_sse::Refusal;
    ///
    /// let refusal = Refusal::later(Duration::from_secs(10)).for_method(&Method::POST);
    /// let response = Response::from(refusal);
    /// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    /// assert!(response.headers().contains_key("retry-after"));
    /// ```
    #[must_use]
    pub fn for_method(mut self, method: &Method) -> Self {
        self.answer = match self.answer {
            RefusalKind::Later(wait) | RefusalKind::Busy(wait) if reads_streams(method) => RefusalKind::Later(wait),
            RefusalKind::Later(wait) | RefusalKind::Busy(wait) => RefusalKind::Busy(wait),
            other => other,
        };
        self
    }

    /// Sets the source of the refusal, which only the [`Observer`](crate::observe::Observer) receives. Defaults to none.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the source, or `None` if the refusal has none.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// Returns the status of the response to a request with this method.
    #[must_use]
    pub fn status_for(&self, method: &Method) -> StatusCode {
        match &self.answer {
            RefusalKind::Stop => StatusCode::NO_CONTENT,
            RefusalKind::Later(_) | RefusalKind::Busy(_) if reads_streams(method) => StatusCode::OK,
            RefusalKind::Later(_) | RefusalKind::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            RefusalKind::Status(status) => *status,
            RefusalKind::Respond(response) => response.status(),
        }
    }

    /// Refuses a request that does not accept an event stream, by 406 with a text.
    pub(crate) fn not_acceptable() -> Self {
        let text = "this address sends an event stream; ask for it with the header `accept: text/event-stream`\n";
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.into()
    }

    /// Returns the seconds of `Retry-After`, with another jitter for each call, or `None` if the client should not reconnect.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self.answer {
            RefusalKind::Later(wait) | RefusalKind::Busy(wait) => Some(wait.in_seconds()),
            _ => None,
        }
    }

    pub(crate) fn into_source(self) -> Option<BoxError> {
        self.source
    }
}

impl Wait {
    fn new(after: Duration) -> Self {
        Self(u64::try_from(after.min(jitter::LONGEST_WAIT).as_nanos()).unwrap_or(u64::MAX))
    }

    fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    pub(crate) fn with_jitter(self) -> Duration {
        jitter::longer(self.duration()).min(jitter::LONGEST_WAIT)
    }

    /// Returns whole seconds, as `Retry-After` takes, with another jitter for each call.
    pub(crate) fn in_seconds(self) -> u64 {
        let after = self.with_jitter();
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        // Clients convert it into milliseconds.
        seconds.min(jitter::LONGEST_WAIT.as_secs())
    }
}

impl From<Infallible> for Refusal {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<BoxError> for Refusal {
    fn from(source: BoxError) -> Self {
        Self::internal(source)
    }
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::status(status)
    }
}

impl From<Response<Bytes>> for Refusal {
    fn from(response: Response<Bytes>) -> Self {
        RefusalKind::Respond(Box::new(response)).into()
    }
}

impl From<RefusalKind> for Refusal {
    fn from(answer: RefusalKind) -> Self {
        Self { answer, source: None }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Refusal");
        match &self.answer {
            RefusalKind::Stop => shown.field("stop", &true),
            RefusalKind::Later(wait) | RefusalKind::Busy(wait) => shown.field("later", &wait.duration()),
            RefusalKind::Status(status) => shown.field("status", status),
            RefusalKind::Respond(response) => shown.field("status", &response.status()),
        };
        shown.field("source", &self.source).finish()
    }
}

/// Returns whether clients with this method reconnect after a clean end. With other methods a clean end means success.
pub(crate) fn reads_streams(method: &Method) -> bool {
    method == Method::GET || headers::is_head(method)
}
