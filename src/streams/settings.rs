//! The settings of [`Streams`](super::Streams).

use std::time::Duration;

/// The settings of one set of streams, as its builder collects them.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) max_streams: usize,
    pub(super) max_per_key: usize,
    /// The number of streams of one key that may be opened within a time.
    #[cfg(feature = "rate-limit")]
    pub(super) rate: Option<(std::num::NonZeroU32, Duration)>,
    pub(super) retry_after: Duration,
    pub(super) reconnect_spread: Duration,
    pub(super) stall_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_streams: usize::MAX,
            max_per_key: usize::MAX,
            #[cfg(feature = "rate-limit")]
            rate: None,
            retry_after: Duration::from_secs(10),
            reconnect_spread: Duration::from_secs(5),
            stall_timeout: Some(STALL_TIMEOUT),
        }
    }
}

/// The default time after which a client that does not read counts as stalled. It is longer than a client that reads 16
/// KB/s takes for 4 MB, which is what a kernel buffers for it by default.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(300);
