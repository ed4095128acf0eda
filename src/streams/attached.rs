//! The requirements that layers attach to a stream, until its next poll takes them.

use std::sync::Arc;

use http::{Request, Version};
use tokio::time::Instant;

use crate::{access::Checks, negotiate::refusal, settings::StreamSettings};

/// The requirements that layers attach to a stream.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The settings of the innermost layer. The stream's own take precedence.
    pub(crate) layer_settings: Option<Arc<StreamSettings>>,
    /// The client, as the innermost layer sees it.
    pub(crate) client: ClientProfile,
    /// The limits of outer layers.
    pub(crate) outer_limits: OuterLimits,
    pub(crate) checks: Option<Box<Checks>>,
    /// Set if the head and a prelude have been sent by another stream that this one continues.
    pub(crate) has_begun: bool,
}

/// The properties of a client that follow from its request. The default is for a stream that has met no layer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientProfile {
    /// Set if the client takes a clean end for a complete answer, rather than for a reason to reconnect.
    pub(crate) reads_answers: bool,
    /// Set if the client may count small frames that it has not read yet.
    pub(crate) counts_frames: bool,
}

/// The limits that outer layers set, which hold whatever the stream's own settings are.
#[derive(Debug, Clone, Default)]
pub(crate) struct OuterLimits {
    /// The end of the shortest lifetime.
    pub(crate) ends_at: Option<Instant>,
    /// Set if a drain does not wait for the stream.
    pub(crate) leaves: bool,
    /// The time at which the head was sent, if that was before the stream was created.
    pub(crate) opened: Option<Instant>,
}

impl ClientProfile {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let counts_frames = request.version() == Version::HTTP_2;
        Self { reads_answers: !refusal::reads_streams(request.method()), counts_frames }
    }
}

impl OuterLimits {
    pub(crate) fn is_any(&self) -> bool {
        self.ends_at.is_some() || self.leaves || self.opened.is_some()
    }

    /// Adds the limits of another layer: the earlier end counts, and the stream leaves if either layer demands it.
    pub(crate) fn tighten(&mut self, ends_at: Option<Instant>, leaves: bool) {
        self.ends_at = [self.ends_at, ends_at].into_iter().flatten().min();
        self.leaves |= leaves;
    }
}
