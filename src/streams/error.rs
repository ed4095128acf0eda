//! The error of a request for a stream that is not admitted.

use std::{error::Error, fmt, time::Duration};

use crate::negotiate::refusal::Refusal;

/// An error that says why a request for a stream was not admitted.
///
/// An [`Observer`](crate::observe::Observer) finds it as the [source](Refusal::source) of the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmissionError {
    /// A [drain](crate::streams::Streams::drain) has begun.
    Draining,
    /// The limit of streams is reached: [`max_streams`](crate::streams::StreamsBuilder::max_streams).
    Full,
    /// The limit of streams with this key is reached: [`max_per_key`](crate::streams::StreamsBuilder::max_per_key).
    FullForKey,
    /// Streams with this key are opened faster than the rate limit allows (feature `rate-limit`).
    TooOften,
    /// The [function that returns the key](crate::SseLayer::stream_key) panicked.
    KeyPanicked,
}

impl AdmissionError {
    /// Returns a short label for the error. It is the same in each release; metrics use it as a label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::FullForKey => "full for key",
            Self::TooOften => "too often",
            Self::KeyPanicked => "key panicked",
        }
    }

    /// Returns the refusal for this error: a retry after this time, or a status of 500 if the key is unknown.
    pub(crate) fn refusal(self, retry_after: Duration) -> Refusal {
        let refusal = match self {
            Self::KeyPanicked => Refusal::status(http::StatusCode::INTERNAL_SERVER_ERROR),
            _ => Refusal::later(retry_after),
        };
        refusal.with_source(self)
    }
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "streams are being drained",
            Self::Full => "stream limit reached",
            Self::FullForKey => "stream limit for this key reached",
            Self::TooOften => "streams of this key are opened too often",
            Self::KeyPanicked => "stream key function panicked",
        })
    }
}

impl Error for AdmissionError {}
