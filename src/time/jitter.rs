//! Jitter, so that many clients do not act at the same moment.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// Returns this duration or up to half of it longer, never shorter.
pub(crate) fn longer(duration: Duration) -> Duration {
    up_to(duration, duration / 2)
}

/// Returns this duration or up to a fifth of it shorter, never longer.
pub(crate) fn shorter(duration: Duration) -> Duration {
    min(duration).saturating_add(fraction_of(duration / 5))
}

/// Returns this duration or up to `spread` longer.
pub(crate) fn up_to(duration: Duration, spread: Duration) -> Duration {
    duration.saturating_add(fraction_of(spread))
}

/// Returns the shortest duration that [`shorter`] returns.
pub(crate) fn min(duration: Duration) -> Duration {
    duration - duration / 5
}

/// The longest time that a client waits: 2^31 − 1 ms, which is 24.8 days. The timers of JavaScript take a longer one for 1 ms, so
/// that clients would reconnect at once, again and again. Applied after the jitter.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);

/// Returns a random duration up to this one, uniformly distributed. Not for secrets.
fn fraction_of(duration: Duration) -> Duration {
    let random = random() >> 32;
    let part = (duration.as_nanos() >> 16).saturating_mul(u128::from(random)) >> 16;
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

/// Returns 64 random bits, other ones for each call and each process.
pub(crate) fn random() -> u64 {
    // Each state has keys of its own, derived from the thread's keys, which come from the system's random numbers.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_within_its_bounds_and_spread() {
        let second = Duration::from_secs(1);
        let longer: Vec<_> = (0..1000).map(|_| super::longer(second)).collect();
        assert!(longer.iter().all(|&drawn| drawn >= second && drawn < second * 3 / 2));
        assert!(longer.iter().filter(|&&drawn| drawn < second * 5 / 4).count().abs_diff(500) < 150);
        let shorter: Vec<_> = (0..1000).map(|_| super::shorter(second)).collect();
        assert!(shorter.iter().all(|&drawn| drawn >= min(second) && drawn <= second));
        assert_ne!(shorter.iter().min(), shorter.iter().max());
    }

    #[test]
    fn longest_and_shortest_durations_do_not_overflow() {
        assert_eq!(longer(Duration::MAX), Duration::MAX);
        assert!(shorter(Duration::MAX) <= Duration::MAX);
        assert_eq!(longer(Duration::ZERO), Duration::ZERO);
        assert_eq!(shorter(Duration::ZERO), Duration::ZERO);
    }
}
