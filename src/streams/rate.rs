//! How often streams of a key may be opened.

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

/// A limit of rate for each key, of those that came lately.
#[derive(Debug)]
pub(crate) struct Rate {
    limiter: RateLimiter<Asked, Store, DefaultClock>,
    /// With so many keys, those that have not come lately are looked for.
    sweep_at: AtomicUsize,
}

/// A key, and whether an opening is to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    key: Arc<str>,
    counts: bool,
}

/// The store of what is known of keys. It can be looked at without a change.
#[derive(Debug, Default)]
struct Store(DefaultKeyedStateStore<Arc<str>>);

impl StateStore for Store {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if asked.counts {
            return self.0.measure_and_replace(&asked.key, measure);
        }
        // What is an error to the store changes nothing there.
        let looks = |last| Err::<(Infallible, Nanos), _>(measure(last).map(|(allowed, _)| allowed));
        match self.0.measure_and_replace(&asked.key, looks) {
            Err(measured) => measured,
            Ok(never) => match never {},
        }
    }
}

impl ShrinkableKeyedStateStore<Asked> for Store {
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

impl Rate {
    /// `None`: the time is too short to mean anything.
    pub(crate) fn new(opens: NonZeroU32, within: Duration) -> Option<Self> {
        let quota = Quota::with_period(within.min(LONGEST) / opens.get())?.allow_burst(opens);
        Some(Self {
            limiter: RateLimiter::new(quota, Store::default(), DefaultClock::default()),
            sweep_at: AtomicUsize::new(KEYS),
        })
    }

    /// Returns whether a stream of this key may be opened. Counts it if asked to.
    pub(crate) fn allows(&self, key: &Arc<str>, counts: bool) -> bool {
        let allows = self.limiter.check_key(&Asked { key: Arc::clone(key), counts }).is_ok();
        // Keys may come from clients: those that could open as many as any are as good as unknown. Looking for them takes a
        // look at all, so it is done each time that there are twice as many.
        if self.limiter.len() > self.sweep_at.load(Ordering::Relaxed) {
            self.limiter.retain_recent();
            self.sweep_at.store(KEYS.max(2 * self.limiter.len()), Ordering::Relaxed);
        }
        allows
    }
}

/// How many keys are known before any are looked for.
const KEYS: usize = 10_000;

/// Longer than any process runs. What is beyond what the limiter can tell makes it panic.
const LONGEST: Duration = Duration::from_secs(86_400 * 365 * 30);

#[cfg(test)]
mod tests {
    use super::*;

    fn sweeps(rate: &Rate, keys: usize) -> usize {
        let mut sweeps = 0;
        for key in 0..keys {
            let before = rate.limiter.len();
            rate.allows(&key.to_string().into(), true);
            sweeps += usize::from(rate.limiter.len() < before || rate.sweep_at.load(Ordering::Relaxed) < before);
        }
        sweeps
    }

    #[test]
    fn keys_that_have_not_come_lately_are_forgotten() {
        let rate = Rate::new(NonZeroU32::MIN, Duration::from_nanos(1)).expect("a nanosecond is a time");
        assert!(sweeps(&rate, 3 * KEYS) >= 2);
        assert!(rate.limiter.len() <= KEYS + 1, "{}", rate.limiter.len());
    }

    #[test]
    fn a_look_at_a_key_spends_nothing() {
        let rate = Rate::new(NonZeroU32::MIN, LONGEST).expect("it is a time");
        let key = Arc::from("a");
        assert!((0..10).all(|_| rate.allows(&key, false)));
        assert!(rate.allows(&key, true));
        assert!(!rate.allows(&key, false) && !rate.allows(&key, true));
    }

    #[test]
    fn keys_that_all_have_come_lately_are_not_looked_at_each_time() {
        let rate = Rate::new(NonZeroU32::MIN, LONGEST).expect("it is a time");
        sweeps(&rate, 5 * KEYS);
        assert_eq!(rate.limiter.len(), 5 * KEYS);
        assert!(rate.sweep_at.load(Ordering::Relaxed) > 5 * KEYS, "the next is far");
    }
}
