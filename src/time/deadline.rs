//! Deadlines that saturate.

use std::time::Duration;

use tokio::time::Instant;

/// Returns the instant after this duration. If an [`Instant`] cannot represent it, returns one 30 years later.
pub(crate) fn saturating_deadline(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + FAR)
}

const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
