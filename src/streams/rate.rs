//! The limit of how often streams of a key may be opened.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::DefaultClock,
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore},
    },
};

/// A rate limit for each key that was seen lately.
#[derive(Debug)]
pub(super) struct RateLimit {
    limiter: RateLimiter<Request, Store, DefaultClock>,
    /// The number of keys at which those that were not seen lately are removed.
    sweep_at: AtomicUsize,
}

/// A request to open a stream of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Request {
    key: Arc<str>,
    /// Set if the request spends rate, rather than only looks.
    spends: bool,
}

/// The state of each key. A look does not change it.
#[derive(Debug, Default)]
struct Store(DefaultKeyedStateStore<Arc<str>>);

impl StateStore for Store {
    type Key = Request;

    fn measure_and_replace<T, F, E>(&self, request: &Request, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if request.spends {
            return self.0.measure_and_replace(&request.key, measure);
        }
        // A store does not keep the state of a measurement that returns an error.
        let look = |last| Err::<(Infallible, Nanos), _>(measure(last).map(|(allowed, _)| allowed));
        match self.0.measure_and_replace(&request.key, look) {
            Err(measured) => measured,
            Ok(never) => match never {},
        }
    }
}

impl ShrinkableKeyedStateStore<Request> for Store {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl RateLimit {
    /// Creates a limit. Returns `None` if the time is too short to limit anything.
    pub(super) fn new(opens: NonZeroU32, within: Duration) -> Option<Self> {
        let quota = Quota::with_period(within.min(LONGEST) / opens.get())?.allow_burst(opens);
        Some(Self {
            limiter: RateLimiter::new(quota, Store::default(), DefaultClock::default()),
            sweep_at: AtomicUsize::new(KEYS),
        })
    }

    /// Returns `true` if a stream of this key may be opened now. Spends the rate for it if asked to.
    pub(super) fn check(&self, key: &Arc<str>, spends: bool) -> bool {
        let allows = self.limiter.check_key(&Request { key: Arc::clone(key), spends }).is_ok();
        // Clients may choose keys, so keys whose full rate is available again are removed. A sweep visits all keys, so
        // it is made only when their number has doubled.
        if self.limiter.len() > self.sweep_at.load(Ordering::Relaxed) {
            self.limiter.retain_recent();
            self.sweep_at.store(KEYS.max(2 * self.limiter.len()), Ordering::Relaxed);
        }
        allows
    }
}

/// The number of keys before the first sweep.
const KEYS: usize = 10_000;

/// The longest time of a limit, which no process outlives. The limiter panics for times that it cannot represent.
const LONGEST: Duration = Duration::from_secs(86_400 * 365 * 30);

#[cfg(test)]
mod tests {
    use super::*;

    fn sweeps(rate: &RateLimit, keys: usize) -> usize {
        let mut sweeps = 0;
        for key in 0..keys {
            let before = rate.limiter.len();
            rate.check(&key.to_string().into(), true);
            sweeps += usize::from(rate.limiter.len() < before || rate.sweep_at.load(Ordering::Relaxed) < before);
        }
        sweeps
    }

    #[test]
    fn keys_not_seen_lately_are_removed() {
        let rate = RateLimit::new(NonZeroU32::MIN, Duration::from_nanos(1)).expect("a nanosecond is a valid time");
        assert!(sweeps(&rate, 3 * KEYS) >= 2);
        assert!(rate.limiter.len() <= KEYS + 1, "{}", rate.limiter.len());
    }

    #[test]
    fn peek_spends_no_rate() {
        let rate = RateLimit::new(NonZeroU32::MIN, LONGEST).expect("the time is valid");
        let key = Arc::from("a");
        assert!((0..10).all(|_| rate.check(&key, false)));
        assert!(rate.check(&key, true));
        assert!(!rate.check(&key, false) && !rate.check(&key, true));
    }

    #[test]
    fn sweep_that_removes_nothing_is_not_repeated_each_time() {
        let rate = RateLimit::new(NonZeroU32::MIN, LONGEST).expect("the time is valid");
        sweeps(&rate, 5 * KEYS);
        assert_eq!(rate.limiter.len(), 5 * KEYS);
        assert!(rate.sweep_at.load(Ordering::Relaxed) > 5 * KEYS, "the next sweep is far off");
    }
}
