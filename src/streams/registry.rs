//! The registry of open streams: the table of slots, with its lock.
//!
//! Lock order: the registry's lock is taken last, and only the rate limiter is called under it. No stream is woken,
//! ended or dropped under the lock, and no observer is called: the registry copies a batch of streams, releases the
//! lock, and then calls them.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use super::{
    error::AdmissionError,
    limits::AdmissionLimits,
    open_stream::OpenStream,
    permit::Permit,
    queued_waker::QueuedWaker,
    settings::Settings,
    slot::{ShareRef, Slot, SlotId, StreamId},
    slot_owner::SlotOwner,
    slots::{DrainPhase, Ended, OpenState, Slots},
    watchdog::{self, Watched},
};
use crate::{access::AccessRevoked, panic};

/// The state that the handles to one set of streams share.
#[derive(Debug)]
pub(crate) struct StreamRegistry {
    limits: AdmissionLimits,
    retry_after: Duration,
    reconnect_spread: Duration,
    stall_timeout: Option<Duration>,
    /// Notified when the last slot is released.
    pub(super) idle: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    slots: Slots<dyn OpenStream>,
    is_watched: bool,
}

impl StreamRegistry {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            limits: AdmissionLimits::new(settings),
            retry_after: settings.retry_after,
            reconnect_spread: settings.reconnect_spread,
            stall_timeout: settings.stall_timeout,
            idle: Notify::new(),
            state: Mutex::new(State { slots: Slots::new(), is_watched: false }),
        }
    }

    /// Takes a tentative slot.
    ///
    /// # Errors
    ///
    /// A drain has begun.
    pub(super) fn reserve(self: &Arc<Self>, key: Option<Arc<str>>) -> Result<(Permit, ShareRef), AdmissionError> {
        let share = self.state().slots.reserve(key)?;
        Ok((self.permit(&share), share))
    }

    /// Shares the slot of a request, or takes one beside it. Returns `None` if the slot is another request's by now.
    pub(super) fn share(self: &Arc<Self>, share: &ShareRef, key: Option<&Arc<str>>) -> Option<(Permit, ShareRef)> {
        let share = self.state().slots.share(share, key)?;
        Some((self.permit(&share), share))
    }

    fn permit(self: &Arc<Self>, share: &ShareRef) -> Permit {
        let owner = Arc::clone(self);
        Permit::new(owner, share)
    }

    /// Returns the time after which a client that is refused may come back.
    pub(crate) fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// Returns the number of slots that count against the limit of streams.
    pub(super) fn counted(&self) -> usize {
        self.state().slots.counted()
    }

    /// Returns the number of slots with this key that count against its limit.
    pub(super) fn counted_for_key(&self, key: &str) -> usize {
        self.state().slots.counted_for_key(key)
    }

    /// Ends the streams of this key, and those that its requests are answered with later. Returns the number of slots.
    pub(super) fn revoke_key(&self, key: &str, cause: &AccessRevoked) -> usize {
        let mut revoked = 0;
        let of_key = |slot: &mut Slot<dyn OpenStream>, batch: &mut Vec<_>| {
            if slot.has_key(key) {
                revoked += 1;
                slot.revoke(cause);
                batch.extend(slot.streams().cloned());
            }
        };
        self.for_each_where(of_key, |stream| stream.revoke(cause));
        revoked
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state().slots.drain_phase() != DrainPhase::None
    }

    /// Refuses requests from now on, and asks streams to end. Returns the number of streams that had ended before.
    pub(super) fn start_drain(&self) -> Ended {
        let mut state = self.state();
        let refused = state.slots.advance_drain(DrainPhase::Draining);
        let ended = state.slots.ended();
        drop(state);
        wake(&refused);
        self.for_each(|stream| stream.drain());
        ended
    }

    /// Ends the streams that are left, at the deadline of a drain.
    pub(super) fn cut(&self) {
        let refused = self.state().slots.advance_drain(DrainPhase::Deadline);
        wake(&refused);
        self.for_each(|stream| stream.cut());
    }

    /// Returns the numbers of ended and of open streams.
    pub(super) fn ended_and_open(&self) -> (Ended, usize) {
        let state = self.state();
        (state.slots.ended(), state.slots.streams().count())
    }

    /// Returns `true` if no request waits for its answer, and a drain waits for no stream.
    pub(super) fn is_drained(&self) -> bool {
        let state = self.state();
        state.slots.all_are_answered()
            && !state.slots.streams().any(|stream| stream.drain_waits_for(self.stall_timeout))
    }

    /// Calls this for each stream, without the lock. A stream that opens meanwhile may be missed. A panic in one call,
    /// in a waker or an observer, does not affect the others.
    fn for_each(&self, call: impl FnMut(&Arc<dyn OpenStream>)) {
        self.for_each_where(|slot, batch| batch.extend(slot.streams().cloned()), call);
    }

    /// Calls this, without the lock, for each stream that `pick` takes from the slots, with the lock.
    fn for_each_where(
        &self,
        mut pick: impl FnMut(&mut Slot<dyn OpenStream>, &mut Vec<Arc<dyn OpenStream>>),
        mut call: impl FnMut(&Arc<dyn OpenStream>),
    ) {
        let mut from = 0;
        while let Some(batch) = self.next_batch(from, &mut pick) {
            for stream in &batch {
                panic::catch(|| call(stream));
            }
            from += BATCH;
        }
    }

    /// Picks streams from the next [`BATCH`] slots from this index on. Returns `None` if there are no more slots.
    fn next_batch(
        &self,
        from: usize,
        pick: &mut impl FnMut(&mut Slot<dyn OpenStream>, &mut Vec<Arc<dyn OpenStream>>),
    ) -> Option<Vec<Arc<dyn OpenStream>>> {
        let mut state = self.state();
        if from >= state.slots.end() {
            return None;
        }
        let mut batch = Vec::new();
        for index in from..from + BATCH {
            if let Some(slot) = state.slots.get_mut(SlotId(index)) {
                pick(slot, &mut batch);
            }
        }
        Some(batch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotOwner for StreamRegistry {
    fn admit(&self, slot: SlotId) -> Result<(), AdmissionError> {
        self.state().slots.admit(slot, &self.limits)
    }

    fn enqueue(&self, slot: SlotId, refused: AdmissionError) -> Result<Option<Arc<QueuedWaker>>, AdmissionError> {
        // Without a runtime there is no timer that would end the wait.
        if refused == AdmissionError::TooOften || Handle::try_current().is_err() {
            return Err(refused);
        }
        let mut state = self.state();
        match state.slots.admit(slot, &self.limits) {
            Ok(()) => Ok(None),
            Err(refused) => state.slots.enqueue(slot, refused, &self.limits).map(Some),
        }
    }

    fn outcome(&self, slot: SlotId) -> Option<Result<(), AdmissionError>> {
        self.state().slots.outcome(slot)
    }

    fn stop_waiting(&self, slot: SlotId) -> Result<(), AdmissionError> {
        self.state().slots.stop_waiting(slot, &self.limits)
    }

    fn cancel_wait(&self, slot: SlotId, waker: &Arc<QueuedWaker>) {
        self.state().slots.cancel_wait(slot, waker);
    }

    fn waited(&self, slot: SlotId, serial: u64) -> Duration {
        self.state().slots.with_serial(slot, serial).map(|slot| slot.waited).unwrap_or_default()
    }

    fn add_waited(&self, slot: SlotId, serial: u64, time: Duration) {
        if let Some(slot) = self.state().slots.with_serial(slot, serial) {
            slot.waited = slot.waited.saturating_add(time);
        }
    }

    fn open(self: Arc<Self>, slot: SlotId, before: Option<StreamId>, stream: Arc<dyn OpenStream>) {
        let mut state = self.state();
        let Some(opened) = state.slots.open(slot, before, Arc::clone(&stream)) else { return };
        let OpenState { drain_phase, revoked, _replaced } = opened;
        let is_watched = state.is_watched;
        drop(state);
        if let (false, Some(timeout)) = (is_watched, self.stall_timeout) {
            watchdog::watch(&self, timeout);
        }
        match drain_phase {
            DrainPhase::None => {}
            DrainPhase::Draining => stream.drain(),
            DrainPhase::Deadline => stream.cut(),
        }
        if let Some(cause) = revoked {
            stream.revoke(&cause);
        }
    }

    fn release(&self, slot: SlotId, share: u64, stream: Option<StreamId>, was_stalled: bool) {
        let mut state = self.state();
        let released = state.slots.release(slot, share, stream, was_stalled, &self.limits);
        let is_last = state.slots.is_empty();
        drop(state);
        wake(&released.admitted);
        if is_last {
            self.idle.notify_waiters();
        }
    }

    fn reconnect_spread(&self) -> Duration {
        self.reconnect_spread
    }

    fn stall_timeout(&self) -> Option<Duration> {
        self.stall_timeout
    }
}

impl Watched for StreamRegistry {
    fn begin_watch(&self) -> bool {
        !mem::replace(&mut self.state().is_watched, true)
    }

    fn end_watch(&self) {
        self.state().is_watched = false;
    }

    fn end_watch_if_empty(&self) -> bool {
        let mut state = self.state();
        if state.slots.is_empty() {
            state.is_watched = false;
        }
        !state.is_watched
    }

    fn stall_unread(&self, timeout: Duration) {
        self.for_each(|stream| stream.stall_unless_read_within(timeout));
    }
}

/// Wakes queued requests. A panic of one waker does not affect the others.
fn wake(wakers: &[Arc<QueuedWaker>]) {
    for waker in wakers {
        panic::catch(|| waker.wake());
    }
}

/// The number of slots that are visited under one lock.
const BATCH: usize = 128;
