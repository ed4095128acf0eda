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
//! An event service's error is made a refusal: a [`BoxError`] is a 500 whose text nobody but the
//! [`Observer`](crate::Observer) sees; a status or a whole response is itself.
//!
//! [HTML §9.2.3]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model

use std::{convert::Infallible, error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use crate::{
    BoxError, LastRetry, StreamSettings,
    body::{slot::Mark, source::Chunk},
    encode, headers, jitter,
};

/// A no to a request for events. See the [module's documentation](self) for what the client gets.
pub struct Refusal {
    answer: Answer,
    source: Option<BoxError>,
}

enum Answer {
    Stop,
    Later(Duration),
    Respond(Box<Response<Bytes>>),
}

impl Refusal {
    /// There is nothing for this client, now or later: 204, after which an `EventSource` does not reconnect.
    #[must_use]
    pub fn stop() -> Self {
        Answer::Stop.into()
    }

    /// Not now: come back after this long, or up to half of it longer, so that not all come back at once. A client is told at
    /// most 2^31 − 1 ms, which is 24.8 days: some clients take a longer time for none.
    #[must_use]
    pub fn later(after: Duration) -> Self {
        Answer::Later(after).into()
    }

    /// This status with an empty body. An `EventSource` takes each but 200 as the end for good.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        response.into()
    }

    /// The same refusal, with a reason for the [`Observer`](crate::Observer). The client does not see it.
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
            Answer::Stop => StatusCode::NO_CONTENT,
            Answer::Later(_) if reads_streams(method) => StatusCode::OK,
            Answer::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
            Answer::Respond(response) => response.status(),
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

    /// The answer while the head is still to come.
    pub(crate) fn into_http(self, method: &Method, settings: &StreamSettings) -> Response<Bytes> {
        let status = self.status_for(method);
        match self.answer {
            Answer::Stop => respond(status),
            Answer::Later(after) if reads_streams(method) => {
                let mut response = headers::stream_head(http::HeaderMap::new());
                // It is whole: a second layer has nothing to add.
                response.extensions_mut().insert(Mark::Whole);
                let prelude = if settings.omits_comments() { b"" } else { PRELUDE };
                response.map(|()| retry_only(after, settings.last_retry.unwrap_or_default(), prelude))
            }
            Answer::Later(after) => {
                let mut response = respond(status);
                response.headers_mut().insert(RETRY_AFTER, retry_after(after).into());
                response
            }
            Answer::Respond(response) => *response,
        }
    }

    /// The last bytes of a stream whose head went out before the no was known.
    ///
    /// A client cannot be stopped any more, so the event says which status it would have been.
    pub(crate) fn into_last(self, method: &Method, form: LastRetry) -> (Chunk, Option<BoxError>) {
        let last = match self.answer {
            Answer::Later(after) => Chunk { bytes: retry_only(after, form, b""), events: 0 },
            Answer::Stop | Answer::Respond(_) => late_status(self.status_for(method)),
        };
        (last, self.source)
    }
}

/// The event for an answer that came after the head: its status, in JSON.
pub(crate) fn late_status(status: StatusCode) -> Chunk {
    let data = format!(r#"{{"status":{}}}"#, status.as_u16());
    Chunk { bytes: encode::text(Some(&crate::event_name!("refused")), &data), events: 1 }
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
        Answer::Respond(Box::new(response)).into()
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        Self { answer, source: None }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Refusal");
        match &self.answer {
            Answer::Stop => shown.field("stop", &true),
            Answer::Later(after) => shown.field("later", after),
            Answer::Respond(response) => shown.field("status", &response.status()),
        };
        shown.field("source", &self.source).finish()
    }
}

/// Returns whether a clean end brings the client back. With any other method it means success.
pub(crate) fn reads_streams(method: &Method) -> bool {
    method == Method::GET || headers::is_head(method)
}

fn respond(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Whole seconds, since the header has no parts of them.
fn retry_after(after: Duration) -> u64 {
    let after = jitter::at_least(after).min(jitter::LONGEST_WAIT);
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    // A client makes milliseconds of it again.
    seconds.min(jitter::LONGEST_WAIT.as_secs())
}

fn retry_only(after: Duration, form: LastRetry, before: &[u8]) -> Bytes {
    let mut buffer = before.to_vec();
    encode::put_last_retry(jitter::at_least(after), form, &mut buffer);
    buffer.into()
}

/// A comment, without a blank line: some clients make an event of each blank line.
pub(crate) const PRELUDE: &[u8] = b":\n";
