//! How an event service says no, in a way that the client understands.
//!
//! An `EventSource` that gets any status but 200 gives up for good and tells the page nothing ([HTML §9.2.3]). So there
//! are three ways:
//!
//! | | to a GET | to other methods |
//! |---|---|---|
//! | [`Refusal::stop`] | 204: do not come back | 204 |
//! | [`Refusal::later`] | 200 with a `retry:` and a clean end: come back then | 503 with `Retry-After` |
//! | [`Refusal::status`] | that status, for clients that read it | that status |
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{Events, Refusal};
//!
//! async fn events(seats: usize) -> Result<Events<impl tower_sse::Source>, Refusal> {
//!     if seats == 0 {
//!         return Err(Refusal::later(Duration::from_secs(10)));
//!     }
//!     let (sender, events) = Events::channel(16);
//!     # drop(sender);
//!     Ok(events)
//! }
//! # let _ = events(1);
//! ```
//!
//! An event service's error is made a refusal: a [`BoxError`] is a 500 whose text only the
//! [`Observer`](crate::observe::Observer) gets; a status or a whole response is itself.
//!
//! A handler refuses in the same way: with feature `axum` a refusal is a response, elsewhere `Response::from(refusal)` makes one.
//! A layer around the handler, [`decorate`](crate::SseLayer::decorate) or one whose event service the handler is, answers the
//! refusal as the method of the request asks, and reports it with its source to its observers. It replaces the status, the body
//! and the headers of a stream, and keeps all other headers. Without a layer the answer is that to a GET request, since a
//! handler's answer does not know its request; [`Refusal::for_method`] makes it that to another method.
//!
//! [HTML §9.2.3]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model

use std::{convert::Infallible, error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE};

use super::headers;
use crate::{error::BoxError, time::jitter};

/// A no to a request for events. See the [module's documentation](self) for what the client gets.
pub struct Refusal {
    pub(crate) answer: RefusalKind,
    pub(crate) source: Option<BoxError>,
}

/// The kinds of refusals.
pub(crate) enum RefusalKind {
    Stop,
    Later(Wait),
    /// The same to a method that does not read streams.
    Busy(Wait),
    Status(StatusCode),
    Respond(Box<Response<Bytes>>),
}

/// The time that a client is to wait, in nanoseconds, of which a `u64` holds more than the longest time takes.
#[derive(Clone, Copy)]
pub(crate) struct Wait(u64);

impl Refusal {
    /// There is nothing for this client, now or later: 204, after which an `EventSource` does not reconnect.
    #[must_use]
    pub fn stop() -> Self {
        RefusalKind::Stop.into()
    }

    /// Not now: come back after this long, or up to half of it longer, so that not all come back at once. A client is told at
    /// most 2^31 − 1 ms, which is 24.8 days: some clients take a longer time for none.
    #[must_use]
    pub fn later(after: Duration) -> Self {
        RefusalKind::Later(Wait::new(after)).into()
    }

    /// This status with an empty body. An `EventSource` takes each but 200 as the end for good.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        RefusalKind::Status(status).into()
    }

    /// Makes the refusal one of a request with this method, for a handler without a layer around it. Defaults to GET. A layer
    /// goes by the method of the request.
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
            RefusalKind::Later(after) | RefusalKind::Busy(after) if reads_streams(method) => RefusalKind::Later(after),
            RefusalKind::Later(after) | RefusalKind::Busy(after) => RefusalKind::Busy(after),
            other => other,
        };
        self
    }

    /// The same refusal, with a reason for the [`Observer`](crate::observe::Observer). The client does not see it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why, if somebody said so.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// The status that a request with this method is answered with.
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

    /// The request did not accept what is the only thing to be had here.
    pub(crate) fn not_acceptable() -> Self {
        let text = "this address sends an event stream; ask for it with the header `accept: text/event-stream`\n";
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.into()
    }

    /// Returns what `Retry-After` says if the client is to come back, with a jitter of its own for each call.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self.answer {
            RefusalKind::Later(after) | RefusalKind::Busy(after) => Some(after.in_seconds()),
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

    /// Whole seconds, since `Retry-After` has no parts of them. Another jitter each time.
    pub(crate) fn in_seconds(self) -> u64 {
        let after = self.with_jitter();
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        // A client makes milliseconds of it again.
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
        Self::status(StatusCode::INTERNAL_SERVER_ERROR).with_source(source)
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
            RefusalKind::Later(after) | RefusalKind::Busy(after) => shown.field("later", &after.duration()),
            RefusalKind::Status(status) => shown.field("status", status),
            RefusalKind::Respond(response) => shown.field("status", &response.status()),
        };
        shown.field("source", &self.source).finish()
    }
}

/// Returns whether a clean end brings the client back. With any other method it means success.
pub(crate) fn reads_streams(method: &Method) -> bool {
    method == Method::GET || headers::is_head(method)
}
