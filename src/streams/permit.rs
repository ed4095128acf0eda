//! Who may open a stream: a permit that a stream holds, and why there is none.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::registry::Registry;
use crate::Refusal;

/// A stream's right to be, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    registry: Arc<Registry>,
    number: usize,
    was_stalled: bool,
}

/// Why a request for a stream was refused: the [source](Refusal::source) of the refusal that an observer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// A [drain](super::Streams::drain) has begun.
    Draining,
    /// There are as many streams as there [may be](super::StreamsBuilder::total).
    Full,
    /// There are as many of this key as there [may be](super::StreamsBuilder::per_key).
    FullForKey,
    /// This key comes too often: feature `rate-limit`.
    TooOften,
    /// The function that tells the key panicked.
    NoKey,
}

impl Permit {
    pub(crate) fn new(registry: Arc<Registry>, number: usize) -> Self {
        Self { registry, number, was_stalled: false }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Its place there.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The stream has ended since nobody read it.
    pub(crate) fn note_stalled(&mut self) {
        self.was_stalled = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.registry.give_back(self.number, self.was_stalled);
    }
}

impl NotAdmitted {
    /// A short word for it, the same in each release: what metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::FullForKey => "full for key",
            Self::TooOften => "too often",
            Self::NoKey => "no key",
        }
    }

    /// The client comes back later; where its key cannot be told, it is an error of the server's.
    pub(crate) fn refusal(self, come_back_after: Duration) -> Refusal {
        let refusal = match self {
            Self::NoKey => Refusal::status(http::StatusCode::INTERNAL_SERVER_ERROR),
            _ => Refusal::later(come_back_after),
        };
        refusal.with_source(self)
    }
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "streams are being drained",
            Self::Full => "there are as many streams as there may be",
            Self::FullForKey => "there are as many streams of this key as there may be",
            Self::TooOften => "streams of this key are opened too often",
            Self::NoKey => "the function that tells a stream's key panicked",
        })
    }
}

impl Error for NotAdmitted {}
