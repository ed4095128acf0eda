//! Which streams are open, and how many of each key.
//!
//! The lock is never held while a stream is woken or told anything: whoever goes through all of them takes some at a time.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use slab::Slab;
use tokio::sync::Notify;

use super::{
    builder::{Settings, StreamsBuilder},
    permit::{NotAdmitted, Permit},
};
use crate::{access::Withdrawn, body::record::Record};

/// The open streams of one or several layers. Cloning gives another handle to the same ones.
///
/// See the [module's documentation](crate::streams).
#[derive(Clone)]
pub struct Streams(pub(super) Arc<Registry>);

/// What the handles share.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) settings: Settings,
    /// Is told when a stream ends.
    pub(super) left: Notify,
    pub(super) is_watched: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Slab<Arc<Record>>,
    /// Permits that are given out.
    open: usize,
    by_key: HashMap<Arc<str>, usize>,
    is_draining: bool,
}

impl Streams {
    /// Streams without limits. Needs no runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins streams with limits.
    pub fn builder() -> StreamsBuilder {
        StreamsBuilder::new()
    }

    /// How many are open. Those that a [watchdog](StreamsBuilder::stalled_after) found are not.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.state().open
    }

    /// How many are open of this key.
    #[must_use]
    pub fn open_of(&self, key: &str) -> usize {
        self.0.state().by_key.get(key).copied().unwrap_or(0)
    }

    /// Ends all streams of this key at once, for this reason, which observers are told: a logout, for one. Gives their
    /// number. Streams whose client does not read are ended too: nothing more is sent to them.
    ///
    /// Their clients come back, and are asked again.
    pub fn end(&self, key: &str, why: impl Into<String>) -> usize {
        let why = Withdrawn::new(&why.into());
        let mut ended = 0;
        self.0.each(|record| {
            let is_meant = record.outside().and_then(|outside| outside.permit(|permit| permit.key() == Some(key)));
            if is_meant == Some(true) {
                record.withdraw(&why);
                ended += 1;
            }
        });
        ended
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.0)
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self(Arc::new(Registry {
            settings,
            left: Notify::new(),
            is_watched: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.open()).finish_non_exhaustive()
    }
}

impl Registry {
    /// A permit for a stream of this key, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, key: Option<Arc<str>>) -> Result<Permit, NotAdmitted> {
        let mut state = self.state();
        if state.is_draining {
            return Err(NotAdmitted::Draining);
        }
        if state.open >= self.settings.total {
            return Err(NotAdmitted::Full);
        }
        if let Some(key) = &key {
            let open = state.by_key.get(key).copied().unwrap_or(0);
            if open >= self.settings.per_key {
                return Err(NotAdmitted::FullForKey);
            }
            #[cfg(feature = "rate-limit")]
            if self.settings.rate.as_ref().is_some_and(|rate| !rate.allows(key)) {
                return Err(NotAdmitted::TooOften);
            }
            state.by_key.insert(Arc::clone(key), open + 1);
        }
        state.open += 1;
        Ok(Permit::new(Arc::clone(self), key))
    }

    pub(super) fn give_back(&self, key: Option<&str>) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        let left = key.and_then(|key| state.by_key.get_mut(key)).map(|open| {
            *open -= 1;
            *open
        });
        if let (Some(0), Some(key)) = (left, key) {
            state.by_key.remove(key);
        }
        drop(state);
        self.left.notify_waiters();
    }

    /// A stream begins.
    pub(crate) fn enter(self: &Arc<Self>, record: &Arc<Record>) {
        let Some(outside) = record.outside() else { return };
        let is_draining = {
            let mut state = self.state();
            outside.numbered(state.records.insert(Arc::clone(record)));
            state.is_draining
        };
        super::watchdog::watch(self);
        if is_draining {
            // It was admitted just before.
            record.drain();
        }
    }

    /// A stream is gone.
    pub(crate) fn leave(&self, number: usize) {
        // Dropped after the lock.
        let _record = self.state().records.try_remove(number);
    }

    /// When those who are refused shall come back.
    pub(crate) fn come_back_after(&self) -> Duration {
        self.settings.come_back_after
    }

    /// Over how long the clients of a drain come back.
    pub(crate) fn spread(&self) -> Duration {
        self.settings.spread
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.state().records.len()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state().is_draining
    }

    pub(super) fn start_drain(&self) {
        self.state().is_draining = true;
    }

    /// Does this for each stream, without the lock. One that opens meanwhile may be missed.
    pub(super) fn each(&self, mut call: impl FnMut(&Arc<Record>)) {
        let mut from = 0;
        while let Some(some) = self.some(from) {
            some.iter().for_each(&mut call);
            from += AT_ONCE;
        }
    }

    /// The streams that have a number from here on, as many as are taken at once. `None`: there are none above.
    fn some(&self, from: usize) -> Option<Vec<Arc<Record>>> {
        let state = self.state();
        let numbers = from..from + AT_ONCE;
        let some = || numbers.filter_map(|number| state.records.get(number).cloned()).collect();
        (from < state.records.capacity()).then(some)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many streams are taken under one lock.
const AT_ONCE: usize = 128;
