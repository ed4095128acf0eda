//! Who may open a stream: a permit that a stream holds, and why there is none.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::control::StreamControl;
use super::{
    registry::Registry,
    slot::{Hold, StreamId},
    waiter::{Patience, Waiter},
};
use crate::negotiate::refusal::Refusal;

/// A part in a place among streams, which is taken until the last such part is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    registry: Arc<Registry>,
    number: usize,
    /// The serial of its share, which is that of the place for the layer that has taken it.
    share: u64,
    /// The stream that holds it. `None` for a request.
    stream: Option<StreamId>,
    was_stalled: bool,
}

/// Why a request for a stream was refused: the [source](Refusal::source) of the refusal that an observer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmissionError {
    /// A [drain](crate::streams::Streams::drain) has begun.
    Draining,
    /// There are as many streams as there [may be](crate::streams::StreamsBuilder::max_streams).
    Full,
    /// There are as many of this key as there [may be](crate::streams::StreamsBuilder::max_per_key).
    FullForKey,
    /// This key comes too often: feature `rate-limit`.
    TooOften,
    /// The function that tells the key panicked.
    KeyPanicked,
}

impl Permit {
    pub(super) fn new(registry: Arc<Registry>, hold: &Hold) -> Self {
        Self { registry, number: hold.number, share: hold.id, stream: None, was_stalled: false }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns whether both are for the same place.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.number == other.number && Arc::ptr_eq(&self.registry, &other.registry)
    }

    /// Counts the place against the limits. Returns a waiter if there is no room now and may be in a moment. The patience is that
    /// of a request that has met a layer with streams before.
    pub(crate) fn settle(&self, patience: Option<&Patience>) -> Result<Option<Waiter>, AdmissionError> {
        let Err(no) = self.registry.settle(self.number) else { return Ok(None) };
        let patience = patience.cloned().unwrap_or_else(|| Patience::of(&self.registry, self.number, self.share));
        let Some(left) = patience.left() else { return Err(no) };
        let turn = self.registry.wait(self.number, no)?;
        Ok(turn.map(|turn| Waiter::new(turn, &self.registry, self.number, left, patience)))
    }

    /// Returns the outcome of waiting. `None`: there is still no room.
    pub(super) fn outcome(&self) -> Option<Result<(), AdmissionError>> {
        self.registry.outcome(self.number)
    }

    pub(super) fn stop_waiting(&self) -> Result<(), AdmissionError> {
        self.registry.stop_waiting(self.number)
    }

    /// The request that has this place is answered with a stream, or its head goes out without an answer. The stream is found
    /// there from now on, until this permit is dropped.
    pub(crate) fn open(&mut self, record: &Arc<StreamControl>) {
        let before = self.stream.replace(StreamId::of(record));
        self.registry.enter(self.number, before, record);
    }

    /// The stream holds another permit of the same place.
    pub(crate) fn is_spare(&mut self) {
        self.stream = None;
    }

    /// The stream has ended since nobody read it.
    pub(crate) fn note_stalled(&mut self) {
        self.was_stalled = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.registry.give_back(self.number, self.share, self.stream, self.was_stalled);
    }
}

impl AdmissionError {
    /// A short word for it, the same in each release: what metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::FullForKey => "full for key",
            Self::TooOften => "too often",
            Self::KeyPanicked => "no key",
        }
    }

    /// The client comes back later; where its key cannot be told, it is an error of the server's.
    pub(crate) fn refusal(self, come_back_after: Duration) -> Refusal {
        let refusal = match self {
            Self::KeyPanicked => Refusal::status(http::StatusCode::INTERNAL_SERVER_ERROR),
            _ => Refusal::later(come_back_after),
        };
        refusal.with_source(self)
    }
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "streams are being drained",
            Self::Full => "there are as many streams as there may be",
            Self::FullForKey => "there are as many streams of this key as there may be",
            Self::TooOften => "streams of this key are opened too often",
            Self::KeyPanicked => "the function that tells a stream's key panicked",
        })
    }
}

impl Error for AdmissionError {}
