//! The handle to streams, and the lock around their places.
//!
//! The lock is never held while a stream is woken or told anything: whoever goes through all of them takes some at a time.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use super::control::StreamControl;
use super::{
    builder::{Settings, StreamsBuilder},
    permit::{AdmissionError, Permit},
    slot::{Hold, Slot, StreamId},
    slots::{DrainPhase, Ended, OpenState, Slots},
    waiter::Turn,
    watchdog,
};
use crate::{access::AccessRevoked, panic};

/// The open streams of one or several layers. Cloning gives another handle to the same ones.
///
/// See the [module's documentation](crate::streams).
#[derive(Clone)]
pub struct Streams(pub(super) Arc<Registry>);

/// What the handles share.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) settings: Settings,
    /// Is told when the last stream has ended.
    pub(super) idle: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: Slots,
    is_watched: bool,
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

    /// Returns the number of open streams, and of requests that will be answered with one: those that an event service
    /// answers, and those that [`decorate`](crate::SseLayer::decorate) [expects](crate::SseLayer::expect_stream) to be.
    /// Streams that a [watchdog](StreamsBuilder::stall_timeout) found are not among them. A stream and the one of a layer inside
    /// that it is made of count once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.state().places.counted()
    }

    /// Returns `true` if no stream is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of these that have this key.
    #[must_use]
    pub fn len_for_key(&self, key: &str) -> usize {
        self.0.state().places.of_key(key)
    }

    /// Ends all streams of this key at once, for this reason, which observers are told: a logout, for one. Gives their
    /// number. Streams whose client does not read are ended too: nothing more is sent to them.
    ///
    /// Requests of this key that have no answer yet count as well, also those of which it is not known yet whether the
    /// answer will be a stream: a stream that is answered to them ends before its first event. Other answers are not touched.
    /// So a logout that is itself a request of this key, under a layer with these streams, counts its own.
    ///
    /// Their clients come back, and are asked again.
    pub fn end_key(&self, key: &str, why: impl Into<String>) -> usize {
        let why = AccessRevoked::new(&why.into());
        let mut ended = 0;
        let of_key = |place: &mut Slot, found: &mut Vec<_>| {
            if place.has_key(key) {
                ended += 1;
                place.end(&why);
                found.extend(place.records().cloned());
            }
        };
        self.0.for_each_where(of_key, |record| record.withdraw(&why));
        ended
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.0)
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self(Arc::new(Registry { settings, idle: Notify::new(), state: Mutex::default() }))
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Takes a tentative place.
    pub(super) fn ask(self: &Arc<Self>, key: Option<Arc<str>>) -> Result<(Permit, Hold), AdmissionError> {
        let hold = self.state().places.ask(key)?;
        Ok((Permit::new(Arc::clone(self), &hold), hold))
    }

    /// Shares the place of a request, or takes one beside it. Returns `None` if the place is another request's by now.
    pub(super) fn join(self: &Arc<Self>, hold: &Hold, key: Option<&Arc<str>>) -> Option<(Permit, Hold)> {
        let hold = self.state().places.join(hold, key)?;
        Some((Permit::new(Arc::clone(self), &hold), hold))
    }

    /// Counts a place.
    pub(super) fn settle(&self, number: usize) -> Result<(), AdmissionError> {
        self.state().places.settle(number, &self.settings)
    }

    /// Has a place wait that there was no room for. Returns `None` if there is room by now.
    pub(super) fn wait(&self, number: usize, no: AdmissionError) -> Result<Option<Arc<Turn>>, AdmissionError> {
        // Without a runtime there is no timer that would end the wait.
        if no == AdmissionError::TooOften || Handle::try_current().is_err() {
            return Err(no);
        }
        let mut state = self.state();
        match state.places.settle(number, &self.settings) {
            Ok(()) => Ok(None),
            Err(no) => state.places.wait(number, no, &self.settings).map(Some),
        }
    }

    /// Ends the wait that this turn is for, if it still goes on.
    pub(super) fn end_wait(&self, number: usize, turn: &Arc<Turn>) {
        self.state().places.end_wait(number, turn);
    }

    /// Returns the time that the request of this place has waited for room.
    pub(super) fn waited(&self, number: usize, serial: u64) -> Duration {
        self.state().places.with_serial(number, serial).map(|place| place.waited).unwrap_or_default()
    }

    /// Adds to that time.
    pub(super) fn add_waited(&self, number: usize, serial: u64, time: Duration) {
        if let Some(place) = self.state().places.with_serial(number, serial) {
            place.waited = place.waited.saturating_add(time);
        }
    }

    pub(super) fn outcome(&self, number: usize) -> Option<Result<(), AdmissionError>> {
        self.state().places.outcome(number)
    }

    pub(super) fn stop_waiting(&self, number: usize) -> Result<(), AdmissionError> {
        self.state().places.stop_waiting(number, &self.settings)
    }

    /// A permit for the place of this number is given back.
    pub(super) fn give_back(&self, number: usize, share: u64, stream: Option<StreamId>, was_stalled: bool) {
        let mut state = self.state();
        let left = state.places.leave(number, share, stream, was_stalled, &self.settings);
        let is_last = state.places.is_empty();
        drop(state);
        wake(&left.served);
        if is_last {
            self.idle.notify_waiters();
        }
    }

    /// The request that has this place is answered with a stream, or its head goes out without an answer.
    pub(super) fn enter(self: &Arc<Self>, number: usize, before: Option<StreamId>, record: &Arc<StreamControl>) {
        let mut state = self.state();
        let Some(opened) = state.places.open(number, before, record) else { return };
        let OpenState { drain_phase: door, ended, _before } = opened;
        let is_watched = state.is_watched;
        drop(state);
        if !is_watched {
            watchdog::watch(self);
        }
        match door {
            DrainPhase::Open => {}
            DrainPhase::Draining => record.drain(),
            DrainPhase::Deadline => record.cut(),
        }
        if let Some(why) = ended {
            record.withdraw(&why);
        }
    }

    /// When those who are refused shall come back.
    pub(crate) fn come_back_after(&self) -> Duration {
        self.settings.come_back_after
    }

    /// Returns when a client that does not read is taken for stalled.
    pub(crate) fn stalled_after(&self) -> Option<Duration> {
        self.settings.stalled_after
    }

    /// Over how long the clients of a drain come back.
    pub(crate) fn spread(&self) -> Duration {
        self.settings.spread
    }

    /// Somebody looks at who reads from now on. `false`: somebody does already.
    pub(super) fn begin_watch(&self) -> bool {
        !mem::replace(&mut self.state().is_watched, true)
    }

    /// Nobody looks any more.
    pub(super) fn end_watch(&self) {
        self.state().is_watched = false;
    }

    /// Nobody looks any more if there is nobody to look at.
    pub(super) fn end_watch_if_empty(&self) -> bool {
        let mut state = self.state();
        if state.places.is_empty() {
            state.is_watched = false;
        }
        !state.is_watched
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state().places.drain_phase() != DrainPhase::Open
    }

    /// Nobody is admitted any more. Gives how many were gone before.
    pub(super) fn start_drain(&self) -> Ended {
        let mut state = self.state();
        let refused = state.places.advance_drain(DrainPhase::Draining);
        let gone = state.places.ended();
        drop(state);
        wake(&refused);
        self.for_each(|record| record.drain());
        gone
    }

    /// What is left ends.
    pub(super) fn cut(&self) {
        let refused = self.state().places.advance_drain(DrainPhase::Deadline);
        wake(&refused);
        self.for_each(|record| record.cut());
    }

    /// How many are gone, and how many streams are open.
    pub(super) fn ended_and_open(&self) -> (Ended, usize) {
        let state = self.state();
        (state.places.ended(), state.places.records().count())
    }

    /// Whether no request waits for its answer, and this holds for each stream. It is called with the lock.
    pub(super) fn all(&self, holds: impl Fn(&StreamControl) -> bool) -> bool {
        let state = self.state();
        state.places.all_are_answered() && state.places.records().all(|record| holds(record))
    }

    /// Does this for each stream, without the lock. One that opens meanwhile may be missed. A panic for one, of its waker or of
    /// its observers, keeps no other from its turn.
    pub(super) fn for_each(&self, call: impl FnMut(&Arc<StreamControl>)) {
        self.for_each_where(|place, found| found.extend(place.records().cloned()), call);
    }

    /// Does this for each stream that is picked, with the lock, out of all places.
    fn for_each_where(
        &self,
        mut pick: impl FnMut(&mut Slot, &mut Vec<Arc<StreamControl>>),
        mut call: impl FnMut(&Arc<StreamControl>),
    ) {
        let mut from = 0;
        while let Some(some) = self.next_batch(from, &mut pick) {
            for record in &some {
                panic::catch(|| call(record));
            }
            from += BATCH;
        }
    }

    /// The streams of the places that have a number from here on, as many as are looked at at once. `None`: there are none
    /// above.
    fn next_batch(
        &self,
        from: usize,
        pick: &mut impl FnMut(&mut Slot, &mut Vec<Arc<StreamControl>>),
    ) -> Option<Vec<Arc<StreamControl>>> {
        let mut state = self.state();
        if from >= state.places.end() {
            return None;
        }
        let mut found = Vec::new();
        for number in from..from + BATCH {
            if let Some(place) = state.places.get_mut(number) {
                pick(place, &mut found);
            }
        }
        Some(found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those that wait. A waker that panics keeps no other from being woken.
fn wake(turns: &[Arc<Turn>]) {
    for turn in turns {
        panic::catch(|| turn.wake());
    }
}

/// The number of places that are looked at under one lock.
const BATCH: usize = 128;
