//! Responses and last bytes of streams from refusals.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header::RETRY_AFTER};

use crate::{
    body::attach::StreamMarker,
    event::{
        chunk::Chunk,
        encode::{self, LastRetry, PRELUDE},
    },
    negotiate::{
        headers,
        refusal::{Refusal, RefusalKind, Wait},
    },
    settings::StreamSettings,
};

impl Refusal {
    /// Returns a complete stream with a `retry:`, in the form that these settings ask for. Returns `None` if the refusal has no delay.
    pub(crate) fn stream(&self, settings: &StreamSettings) -> Option<Bytes> {
        match self.answer {
            RefusalKind::Later(after) | RefusalKind::Busy(after) => Some(retry_stream(after, settings)),
            _ => None,
        }
    }

    /// Returns the last bytes of a stream whose head was sent before the refusal was known.
    ///
    /// The status cannot change any more, so an event carries it.
    pub(crate) fn last(&self, method: &Method, form: LastRetry) -> Chunk {
        match self.answer {
            RefusalKind::Later(after) | RefusalKind::Busy(after) => {
                Chunk { bytes: retry_only(after, form, b""), events: 0 }
            }
            _ => late_status(self.status_for(method)),
        }
    }
}

impl RefusalKind {
    /// Returns the response, and the kind that remains once the response has been taken out.
    pub(super) fn respond(self, settings: &StreamSettings) -> (Response<Bytes>, Self) {
        let response = match self {
            Self::Stop => respond(StatusCode::NO_CONTENT),
            Self::Status(status) => respond(status),
            Self::Later(after) => {
                let mut response = headers::stream_head(HeaderMap::new());
                // The stream is complete: an outer layer adds nothing.
                response.extensions_mut().insert(StreamMarker::Whole);
                response.map(|()| retry_stream(after, settings))
            }
            Self::Busy(after) => {
                let mut response = respond(StatusCode::SERVICE_UNAVAILABLE);
                response.headers_mut().insert(RETRY_AFTER, after.in_seconds().into());
                response
            }
            Self::Respond(response) => {
                let status = response.status();
                return (*response, Self::Status(status));
            }
        };
        (response, self)
    }
}

/// Returns the event for an answer that came after the head, with its status as JSON.
pub(crate) fn late_status(status: StatusCode) -> Chunk {
    let data = format!(r#"{{"status":{}}}"#, status.as_u16());
    Chunk { bytes: encode::text(Some(&crate::event_name!("refused")), &data), events: 1 }
}

fn respond(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Returns a complete stream whose client reconnects after this time.
fn retry_stream(after: Wait, settings: &StreamSettings) -> Bytes {
    let prelude = if settings.omits_comments() { b"" } else { PRELUDE };
    retry_only(after, settings.last_retry.unwrap_or_default(), prelude)
}

fn retry_only(after: Wait, form: LastRetry, before: &[u8]) -> Bytes {
    let mut buffer = before.to_vec();
    encode::put_last_retry(after.with_jitter(), form, &mut buffer);
    buffer.into()
}
