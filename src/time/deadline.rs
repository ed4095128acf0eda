//! Times that are a while from now, however long that is.

use std::time::Duration;

use tokio::time::Instant;

/// So much later, or, where that is beyond what can be told, later than any process runs.
pub(crate) fn saturating_deadline(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + FAR)
}

const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
