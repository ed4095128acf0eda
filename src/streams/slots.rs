//! The table of slots, which decides whether a request is admitted, queued or refused.
//!
//! The table is a plain data structure, under the registry's lock: it calls no stream and wakes no task. A request has a slot
//! from the moment that it arrives, so that it can be ended before it has an answer. The slot is *tentative* until it
//! is admitted: a drain and its keys find it, but it does not count against a limit.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

use slab::Slab;

use super::{
    error::AdmissionError,
    limits::AdmissionLimits,
    queued_waker::QueuedWaker,
    slot::{ShareRef, Slot, SlotId, StreamId},
};
use crate::access::AccessRevoked;

/// The slots that are taken, by id and by key, with streams of type `S`.
#[derive(Debug)]
pub(super) struct Slots<S: ?Sized> {
    slots: Slab<Slot<S>>,
    counted: usize,
    by_key: HashMap<Arc<str>, usize>,
    /// Slots that wait to be admitted, in the order of their arrival.
    queue: VecDeque<SlotId>,
    drain_phase: DrainPhase,
    ended: Ended,
    last_serial: u64,
}

/// The progress of a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd)]
pub(super) enum DrainPhase {
    /// No drain has begun.
    #[default]
    None,
    /// No request is admitted, and streams are asked to end.
    Draining,
    /// The drain has come to its deadline: streams that were to finish end, too.
    Deadline,
}

/// The number of streams that are not open any more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    pub(super) total: usize,
    /// The number of those whose clients did not read.
    pub(super) stalled: usize,
}

/// The state that a stream opens in, to be applied to it without the lock.
#[derive(Debug)]
pub(super) struct OpenState<S: ?Sized> {
    pub(super) drain_phase: DrainPhase,
    pub(super) revoked: Option<AccessRevoked>,
    /// The stream that this one replaces, to be dropped without the lock.
    pub(super) _replaced: Option<Arc<S>>,
}

/// The rest of a release, to be done without the lock.
#[derive(Debug)]
pub(super) struct Released<S: ?Sized> {
    pub(super) _stream: Option<Arc<S>>,
    pub(super) _slot: Option<Slot<S>>,
    /// The wakers of requests that were admitted.
    pub(super) admitted: Vec<Arc<QueuedWaker>>,
}

impl<S: ?Sized> Slots<S> {
    pub(super) fn new() -> Self {
        Self {
            slots: Slab::new(),
            counted: 0,
            by_key: HashMap::new(),
            queue: VecDeque::new(),
            drain_phase: DrainPhase::None,
            ended: Ended::default(),
            last_serial: 0,
        }
    }

    /// Takes a tentative slot.
    ///
    /// # Errors
    ///
    /// A drain has begun.
    pub(super) fn reserve(&mut self, key: Option<Arc<str>>) -> Result<ShareRef, AdmissionError> {
        if self.drain_phase != DrainPhase::None {
            return Err(AdmissionError::Draining);
        }
        Ok(self.insert(Slot::new(key.into_iter())))
    }

    /// Shares the slot of a request, and adds a key to it.
    ///
    /// If the share is passed on already, this is another request beside the one that has it. It takes a tentative slot
    /// with the same keys, also in a drain. Returns `None` if the slot is another request's by now.
    pub(super) fn share(&mut self, share: &ShareRef, key: Option<&Arc<str>>) -> Option<ShareRef> {
        let slot = self.slots.get_mut(share.slot.0).filter(|slot| slot.serial == share.serial)?;
        if slot.shares.is_passed_on(share.id) {
            let mut beside = Slot::new(slot.keys().take(share.keys).map(|key| Arc::clone(&key.name)));
            beside.revoked.clone_from(&slot.revoked);
            if let Some(key) = key {
                beside.add_key(key);
            }
            return Some(self.insert(beside));
        }
        self.last_serial += 1;
        slot.shares.pass_on(share.id, self.last_serial);
        slot.permits += 1;
        if let Some(key) = key {
            slot.add_key(key);
        }
        Some(ShareRef { id: self.last_serial, keys: slot.keys().count(), ..*share })
    }

    fn insert(&mut self, mut slot: Slot<S>) -> ShareRef {
        self.last_serial += 1;
        slot.serial = self.last_serial;
        let (serial, keys) = (slot.serial, slot.keys().count());
        ShareRef { slot: SlotId(self.slots.insert(slot)), serial, id: serial, keys }
    }

    /// Counts a slot and its keys against the limits, unless they are counted already.
    pub(super) fn admit(&mut self, id: SlotId, limits: &AdmissionLimits) -> Result<(), AdmissionError> {
        let Some(slot) = self.slots.get(id.0).filter(|slot| !slot.is_admitted()) else { return Ok(()) };
        self.check_room(slot, limits)?;
        self.spend_rate(id, limits)?;
        let Some(slot) = self.slots.get_mut(id.0) else { return Ok(()) };
        self.counted += usize::from(!mem::replace(&mut slot.is_counted, true));
        for key in slot.keys_mut().filter(|key| !key.is_counted) {
            key.is_counted = true;
            *self.by_key.entry(Arc::clone(&key.name)).or_default() += 1;
        }
        Ok(())
    }

    /// Queues a slot that was not admitted for this reason: one for each key, and few in all.
    pub(super) fn enqueue(
        &mut self,
        id: SlotId,
        refused: AdmissionError,
        limits: &AdmissionLimits,
    ) -> Result<Arc<QueuedWaker>, AdmissionError> {
        let Some(slot) = self.slots.get(id.0) else { return Err(refused) };
        if let Some(waker) = &slot.waker {
            return Ok(Arc::clone(waker));
        }
        let limit = if refused == AdmissionError::Full { limits.max_streams } else { limits.max_per_key };
        let mut queued = self.queue.iter().filter_map(|id| self.slots.get(id.0));
        if self.drain_phase != DrainPhase::None
            || limit == 0
            || self.queue.len() >= MAX_QUEUED
            || queued.any(|other| slot.shares_key(other))
        {
            return Err(refused);
        }
        // The rate is spent only when the slot is admitted.
        if slot.keys().any(|key| !key.is_rated && !limits.peek_rate(&key.name)) {
            return Err(AdmissionError::TooOften);
        }
        let waker = Arc::new(QueuedWaker::default());
        if let Some(slot) = self.slots.get_mut(id.0) {
            slot.waker = Some(Arc::clone(&waker));
        }
        self.queue.push_back(id);
        Ok(waker)
    }

    /// Returns the outcome for a queued slot, or `None` if it still waits.
    pub(super) fn outcome(&self, id: SlotId) -> Option<Result<(), AdmissionError>> {
        let slot = self.slots.get(id.0)?;
        match (slot.is_admitted(), &slot.waker) {
            (true, _) => Some(Ok(())),
            // A drain takes the waker from a slot that is not admitted.
            (false, None) if self.drain_phase != DrainPhase::None => Some(Err(AdmissionError::Draining)),
            (false, _) => None,
        }
    }

    /// Removes a slot from the queue, and tries to admit it a last time.
    pub(super) fn stop_waiting(&mut self, id: SlotId, limits: &AdmissionLimits) -> Result<(), AdmissionError> {
        self.queue.retain(|&queued| queued != id);
        // Lock order: the waiter has this waker, too, so the task's waker is not dropped here.
        if let Some(slot) = self.slots.get_mut(id.0) {
            slot.waker = None;
        }
        self.admit(id, limits)
    }

    /// Removes a slot from the queue, if it is still there with this waker.
    pub(super) fn cancel_wait(&mut self, id: SlotId, waker: &Arc<QueuedWaker>) {
        let slot = self.slots.get_mut(id.0);
        if slot.is_some_and(|slot| slot.waker.take_if(|own| Arc::ptr_eq(own, waker)).is_some()) {
            self.queue.retain(|&queued| queued != id);
        }
    }

    /// Returns the slot with this id, if it has this serial.
    pub(super) fn with_serial(&mut self, id: SlotId, serial: u64) -> Option<&mut Slot<S>> {
        self.slots.get_mut(id.0).filter(|slot| slot.serial == serial)
    }

    /// Adds a stream to a slot, in place of the one that its permit held before. Returns `None` if there is no such
    /// slot.
    pub(super) fn open(&mut self, id: SlotId, before: Option<StreamId>, stream: Arc<S>) -> Option<OpenState<S>> {
        let slot = self.slots.get_mut(id.0)?;
        let replaced = before.and_then(|before| slot.remove(before));
        slot.add(stream);
        Some(OpenState { drain_phase: self.drain_phase, revoked: slot.revoked.clone(), _replaced: replaced })
    }

    /// Releases a share of a slot, and removes the stream that held it: the request may be answered with another one.
    /// The last share frees the slot.
    pub(super) fn release(
        &mut self,
        id: SlotId,
        share: u64,
        stream: Option<StreamId>,
        was_stalled: bool,
        limits: &AdmissionLimits,
    ) -> Released<S> {
        let mut released = Released { _stream: None, _slot: None, admitted: Vec::new() };
        let Some(slot) = self.slots.get_mut(id.0) else { return released };
        slot.permits -= 1;
        slot.shares.release(share);
        let is_free = slot.permits == 0;
        released._stream = stream.and_then(|stream| slot.remove(stream));
        if released._stream.is_some() {
            self.ended.total += 1;
            self.ended.stalled += usize::from(was_stalled);
        }
        if is_free {
            released._slot = self.slots.try_remove(id.0);
        }
        if let Some(slot) = &released._slot {
            released.admitted = self.free(id, slot, limits);
        }
        released
    }

    /// Counts a slot no more, and admits queued ones. Returns the wakers of these.
    fn free(&mut self, id: SlotId, slot: &Slot<S>, limits: &AdmissionLimits) -> Vec<Arc<QueuedWaker>> {
        if slot.waker.is_some() {
            self.queue.retain(|&queued| queued != id);
        }
        self.counted -= usize::from(slot.is_counted);
        slot.keys().filter(|key| key.is_counted).for_each(|key| self.uncount(&key.name));
        if self.queue.is_empty() { Vec::new() } else { self.admit_queued(limits) }
    }

    fn uncount(&mut self, key: &str) {
        let Some(count) = self.by_key.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            self.by_key.remove(key);
        }
    }

    /// Admits the queued slots that there is room for, in order. Returns their wakers.
    fn admit_queued(&mut self, limits: &AdmissionLimits) -> Vec<Arc<QueuedWaker>> {
        let mut admitted = Vec::new();
        for id in mem::take(&mut self.queue) {
            if self.admit(id, limits).is_err() {
                self.queue.push_back(id);
            } else if let Some(waker) = self.slots.get_mut(id.0).and_then(|slot| slot.waker.take()) {
                admitted.push(waker);
            }
        }
        admitted
    }

    /// Returns an error if the slot would exceed the limit of all streams, or that of one of its keys.
    fn check_room(&self, slot: &Slot<S>, limits: &AdmissionLimits) -> Result<(), AdmissionError> {
        if !slot.is_counted && self.counted >= limits.max_streams {
            return Err(AdmissionError::Full);
        }
        let mut new = slot.keys().filter(|key| !key.is_counted);
        if new.any(|key| self.counted_for_key(&key.name) >= limits.max_per_key) {
            return Err(AdmissionError::FullForKey);
        }
        Ok(())
    }

    /// Spends the rate of the slot's keys, once for each.
    fn spend_rate(&mut self, id: SlotId, limits: &AdmissionLimits) -> Result<(), AdmissionError> {
        let Some(slot) = self.slots.get_mut(id.0) else { return Ok(()) };
        for key in slot.keys_mut().filter(|key| !key.is_rated) {
            if !limits.spend_rate(&key.name) {
                return Err(AdmissionError::TooOften);
            }
            key.is_rated = true;
        }
        Ok(())
    }

    /// Returns the number of slots that count against the limit of streams.
    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// Returns the number of slots with this key that count against its limit.
    pub(super) fn counted_for_key(&self, key: &str) -> usize {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    /// Returns `true` if there is no slot, not even a tentative one.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn drain_phase(&self) -> DrainPhase {
        self.drain_phase
    }

    /// Advances the drain to this phase, never back, and empties the queue. Returns the wakers of the requests that are
    /// refused with that, to be woken without the lock.
    pub(super) fn advance_drain(&mut self, phase: DrainPhase) -> Vec<Arc<QueuedWaker>> {
        if self.drain_phase < phase {
            self.drain_phase = phase;
        }
        let queued = mem::take(&mut self.queue);
        queued.into_iter().filter_map(|id| self.slots.get_mut(id.0)?.waker.take()).collect()
    }

    pub(super) fn ended(&self) -> Ended {
        self.ended
    }

    /// Returns the open streams.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Arc<S>> {
        self.slots.iter().flat_map(|(_, slot)| slot.streams())
    }

    /// Returns `true` if each slot has a stream: no request waits for its answer.
    pub(super) fn all_are_answered(&self) -> bool {
        self.slots.iter().all(|(_, slot)| slot.streams().next().is_some())
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot<S>> {
        self.slots.get_mut(id.0)
    }

    /// Returns a number above all indices of slots.
    pub(super) fn end(&self) -> usize {
        self.slots.capacity()
    }
}

/// The number of requests that may be queued at a time.
const MAX_QUEUED: usize = 64;
