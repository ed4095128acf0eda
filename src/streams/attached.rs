//! The demands that layers make of a stream, until its first poll takes them.

use std::sync::Arc;

use http::{Request, Version};
use tokio::time::Instant;

use crate::{access::Checks, negotiate::refusal, settings::StreamSettings};

/// The demands that layers make of a stream before its first poll.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The settings of the innermost layer, below the stream's own.
    pub(crate) below: Option<Arc<StreamSettings>>,
    /// The client, as that layer knows it.
    pub(crate) client: Client,
    pub(crate) tighter: Tighter,
    pub(crate) checks: Option<Box<Checks>>,
    /// The head is out, with a prelude: the stream goes on with another one.
    pub(crate) has_begun: bool,
}

/// The properties of a client that its request tells. Without a layer they are not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Client {
    /// A clean end means to the client that the answer is complete, not that it may come back.
    pub(crate) reads_answers: bool,
    /// The client may count frames that are small and not read yet.
    pub(crate) counts_frames: bool,
}

/// The demands that outer layers make of a stream whatever its own settings are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tighter {
    /// The end of the shortest lifetime.
    pub(crate) ends_at: Option<Instant>,
    /// A drain is not to wait for the stream.
    pub(crate) leaves: bool,
    /// When the head went out, if that was before the stream was made.
    pub(crate) opened: Option<Instant>,
}

impl Client {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let counts_frames = request.version() == Version::HTTP_2;
        Self { reads_answers: !refusal::reads_streams(request.method()), counts_frames }
    }
}

impl Tighter {
    pub(crate) fn is_any(&self) -> bool {
        self.ends_at.is_some() || self.leaves || self.opened.is_some()
    }

    /// Both at once.
    pub(crate) fn tighten(&mut self, ends_at: Option<Instant>, leaves: bool) {
        self.ends_at = [self.ends_at, ends_at].into_iter().flatten().min();
        self.leaves |= leaves;
    }
}
