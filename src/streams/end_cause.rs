//! The causes that end a stream before its source does.

use crate::{access::AccessRevoked, error::BoxError, observe::Reason};

/// A cause that ends a stream before its source does.
#[derive(Debug, Clone)]
pub(crate) enum EndCause {
    /// The deadline that the event service has set.
    Deadline,
    /// The longest time that a stream may be open.
    Lifetime,
    /// The beginning of a drain.
    Drain,
    /// The deadline of a drain.
    DrainDeadline,
    /// A failed check of access, or the end of the stream's key.
    Revoked(AccessRevoked),
    /// A client that does not read.
    Stalled,
}

impl EndCause {
    /// Returns the reason that observers receive.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Deadline => Reason::Deadline,
            Self::Lifetime => Reason::Lifetime,
            Self::Drain | Self::DrainDeadline => Reason::Drained,
            Self::Revoked(_) => Reason::Revoked,
            Self::Stalled => Reason::Stalled,
        }
    }

    /// Returns the error that observers receive with the reason, if any.
    pub(crate) fn into_error(self) -> Option<BoxError> {
        match self {
            Self::Revoked(cause) => Some(cause.into()),
            _ => None,
        }
    }
}
