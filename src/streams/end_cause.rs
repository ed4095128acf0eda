//! Why a stream ends before its source does.

use crate::{access::AccessRevoked, error::BoxError, observe::Reason};

/// What ends it.
#[derive(Debug, Clone)]
pub(crate) enum EndCause {
    /// The time that the event service set.
    Deadline,
    /// The longest that a stream may be open.
    Lifetime,
    /// A drain, at once.
    Drain,
    /// A drain, at its end.
    DrainDeadline,
    Revoked(AccessRevoked),
    Stalled,
}

impl EndCause {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Deadline => Reason::Deadline,
            Self::Lifetime => Reason::Lifetime,
            Self::Drain | Self::DrainDeadline => Reason::Drained,
            Self::Revoked(_) => Reason::Revoked,
            Self::Stalled => Reason::Stalled,
        }
    }

    pub(crate) fn into_error(self) -> Option<BoxError> {
        match self {
            Self::Revoked(why) => Some(why.into()),
            _ => None,
        }
    }
}
