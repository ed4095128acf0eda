//! An open stream, as the registry sees it.

use std::{fmt, time::Duration};

use crate::access::AccessRevoked;

/// An open stream that can be ended from outside its body.
///
/// Lock order: a stream may wake a task, call observers and release its permit from within each method but
/// [`drain_waits_for`](Self::drain_waits_for), so these are called without the registry's lock.
pub(super) trait OpenStream: fmt::Debug + Send + Sync {
    /// Requests the end of the stream, unless it is to finish.
    fn drain(&self);

    /// Requests the end of the stream at the deadline of a drain, even if it is to finish.
    fn cut(&self);

    /// Requests the end of the stream since the client's access was revoked. Releases its resources at once if the
    /// client does not read.
    fn revoke(&self, cause: &AccessRevoked);

    /// Ends the stream if the client has not read for this long. Releases its resources at once.
    fn stall_unless_read_within(&self, time: Duration);

    /// Returns `true` if a drain waits for the stream's end. Called with the registry's lock.
    fn drain_waits_for(&self, stall_timeout: Option<Duration>) -> bool;
}
