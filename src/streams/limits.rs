//! The limits that a request for a stream is admitted by.

use std::sync::Arc;

use super::settings::Settings;

/// The limits of admission: streams in all, streams for each key, and openings of each key in a time.
#[derive(Debug)]
pub(super) struct AdmissionLimits {
    pub(super) max_streams: usize,
    pub(super) max_per_key: usize,
    #[cfg(feature = "rate-limit")]
    rate: Option<super::rate::RateLimit>,
}

impl AdmissionLimits {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            max_streams: settings.max_streams,
            max_per_key: settings.max_per_key,
            #[cfg(feature = "rate-limit")]
            rate: settings.rate.and_then(|(opens, within)| super::rate::RateLimit::new(opens, within)),
        }
    }

    /// Returns `true` if the rate limit allows a stream of this key now, and spends it.
    pub(super) fn spend_rate(&self, key: &Arc<str>) -> bool {
        self.check_rate(key, true)
    }

    /// Returns `true` if the rate limit would allow a stream of this key now. Spends nothing.
    pub(super) fn peek_rate(&self, key: &Arc<str>) -> bool {
        self.check_rate(key, false)
    }

    #[cfg(feature = "rate-limit")]
    fn check_rate(&self, key: &Arc<str>, spends: bool) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.check(key, spends))
    }

    #[cfg(not(feature = "rate-limit"))]
    fn check_rate(&self, _: &Arc<str>, _: bool) -> bool {
        true
    }
}
