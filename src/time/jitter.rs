//! How many clients are kept from doing the same thing at the same moment.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// This duration or up to half of it longer: never sooner than was asked for.
pub(crate) fn longer(duration: Duration) -> Duration {
    up_to(duration, duration / 2)
}

/// This duration or up to a fifth of it shorter: never later than was promised.
pub(crate) fn shorter(duration: Duration) -> Duration {
    min(duration).saturating_add(fraction_of(duration / 5))
}

/// This duration or up to so much longer.
pub(crate) fn up_to(duration: Duration, spread: Duration) -> Duration {
    duration.saturating_add(fraction_of(spread))
}

/// The least that [`shorter`] gives.
pub(crate) fn min(duration: Duration) -> Duration {
    duration - duration / 5
}

/// The longest time that a client is told to wait: 2^31 − 1 ms, 24.8 days. The timers of JavaScript take a longer one for 1 ms, so
/// that clients would come back at once, without end. Applied after the jitter.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);

/// Something between nothing and this duration. Evenly spread, but nothing that a secret may depend on.
fn fraction_of(duration: Duration) -> Duration {
    let random = random() >> 32;
    let part = (duration.as_nanos() >> 16).saturating_mul(u128::from(random)) >> 16;
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

/// 64 bits that differ each time, and from process to process.
pub(crate) fn random() -> u64 {
    // Each new state has keys of its own, out of the thread's random ones, which are the system's.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_what_it_says_and_is_spread() {
        let second = Duration::from_secs(1);
        let later: Vec<_> = (0..1000).map(|_| longer(second)).collect();
        assert!(later.iter().all(|&drawn| drawn >= second && drawn < second * 3 / 2));
        assert!(later.iter().filter(|&&drawn| drawn < second * 5 / 4).count().abs_diff(500) < 150);
        let sooner: Vec<_> = (0..1000).map(|_| shorter(second)).collect();
        assert!(sooner.iter().all(|&drawn| drawn >= min(second) && drawn <= second));
        assert_ne!(sooner.iter().min(), sooner.iter().max());
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(longer(Duration::MAX), Duration::MAX);
        assert!(shorter(Duration::MAX) <= Duration::MAX);
        assert_eq!(longer(Duration::ZERO), Duration::ZERO);
        assert_eq!(shorter(Duration::ZERO), Duration::ZERO);
    }
}
