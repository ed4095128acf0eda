//! How often streams of a key may be opened.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// A limit of rate for each key, of those that came lately.
#[derive(Debug)]
pub(crate) struct Rate(DefaultKeyedRateLimiter<Arc<str>>);

impl Rate {
    /// `None`: the time is too short to mean anything.
    pub(crate) fn new(opens: NonZeroU32, within: Duration) -> Option<Self> {
        let quota = Quota::with_period(within / opens.get())?.allow_burst(opens);
        Some(Self(RateLimiter::keyed(quota)))
    }

    pub(crate) fn allows(&self, key: &Arc<str>) -> bool {
        let allows = self.0.check_key(key).is_ok();
        // Keys may come from clients: those that could open as many as any are as good as unknown.
        if self.0.len() > KEYS {
            self.0.retain_recent();
        }
        allows
    }
}

/// How many keys are known before those that have not come lately are looked for.
const KEYS: usize = 10_000;
