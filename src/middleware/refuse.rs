//! The responses, and the last bytes of streams, that refusals become.

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
    /// Returns the stream that tells a client to come back, as these settings have it.
    pub(crate) fn stream(&self, settings: &StreamSettings) -> Option<Bytes> {
        match self.answer {
            RefusalKind::Later(after) | RefusalKind::Busy(after) => Some(whole(after, settings)),
            _ => None,
        }
    }

    /// Returns the last bytes of a stream whose head went out before the refusal was known.
    ///
    /// A client cannot be stopped any more, so the event says which status it would have been.
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
    /// Returns the response, and what is left of the answer to know it by.
    pub(super) fn respond(self, settings: &StreamSettings) -> (Response<Bytes>, Self) {
        let response = match self {
            Self::Stop => respond(StatusCode::NO_CONTENT),
            Self::Status(status) => respond(status),
            Self::Later(after) => {
                let mut response = headers::stream_head(HeaderMap::new());
                // It is whole: a second layer has nothing to add.
                response.extensions_mut().insert(StreamMarker::Whole);
                response.map(|()| whole(after, settings))
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

/// The event for an answer that came after the head: its status, in JSON.
pub(crate) fn late_status(status: StatusCode) -> Chunk {
    let data = format!(r#"{{"status":{}}}"#, status.as_u16());
    Chunk { bytes: encode::text(Some(&crate::event_name!("refused")), &data), events: 1 }
}

fn respond(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// The stream of a client that is to come back.
fn whole(after: Wait, settings: &StreamSettings) -> Bytes {
    let prelude = if settings.omits_comments() { b"" } else { PRELUDE };
    retry_only(after, settings.last_retry.unwrap_or_default(), prelude)
}

fn retry_only(after: Wait, form: LastRetry, before: &[u8]) -> Bytes {
    let mut buffer = before.to_vec();
    encode::put_last_retry(after.with_jitter(), form, &mut buffer);
    buffer.into()
}
