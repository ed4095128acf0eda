//! The places of requests and streams: which are counted, which wait for room, and which keys they have.
//!
//! Pure, under the registry's lock. A request has a place from the moment that it comes, so that it can be ended before it has
//! an answer. The place is *tentative* until it is settled: it is found by its key and by a drain, and counts for no limit.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

use slab::Slab;

use super::control::StreamControl;
use super::{
    builder::Settings,
    permit::AdmissionError,
    slot::{Hold, Slot, StreamId},
    waiter::Turn,
};
use crate::access::AccessRevoked;

/// The places that are taken, by number and by key.
#[derive(Debug, Default)]
pub(super) struct Slots {
    places: Slab<Slot>,
    counted: usize,
    by_key: HashMap<Arc<str>, usize>,
    /// Places that wait for room, in the order in which they came.
    queue: VecDeque<usize>,
    drain_phase: DrainPhase,
    ended: Ended,
    last_serial: u64,
}

/// What becomes of those who come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum DrainPhase {
    #[default]
    Open,
    /// Nobody is admitted; who was admitted before is drained.
    Draining,
    /// The same, and a drain has come to its end.
    Deadline,
}

/// How many streams are not open any more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    pub(super) total: usize,
    /// Those whose clients did not read.
    pub(super) stalled: usize,
}

/// What a stream that opens has to be told.
#[derive(Debug)]
pub(super) struct OpenState {
    pub(super) drain_phase: DrainPhase,
    pub(super) ended: Option<AccessRevoked>,
    /// The stream that this one follows: to be dropped without the lock.
    pub(super) _before: Option<Arc<StreamControl>>,
}

/// The things to be done without the lock when a permit is given back.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) _record: Option<Arc<StreamControl>>,
    pub(super) _place: Option<Slot>,
    /// Those that have got a place.
    pub(super) served: Vec<Arc<Turn>>,
}

impl Slots {
    /// Takes a tentative place.
    pub(super) fn ask(&mut self, key: Option<Arc<str>>) -> Result<Hold, AdmissionError> {
        if self.drain_phase != DrainPhase::Open {
            return Err(AdmissionError::Draining);
        }
        Ok(self.insert(Slot::new(key.into_iter())))
    }

    /// Shares the place of a request, and adds a key to it. If the share is passed on already this is another request beside
    /// the one that has it, which takes a tentative place with the same keys, also in a drain. Returns `None` if the place is
    /// another request's by now.
    pub(super) fn join(&mut self, hold: &Hold, key: Option<&Arc<str>>) -> Option<Hold> {
        let place = self.places.get_mut(hold.number).filter(|place| place.serial == hold.serial)?;
        if place.shares.is_passed_on(hold.id) {
            let mut beside = Slot::new(place.keys().take(hold.keys).map(|key| Arc::clone(&key.name)));
            beside.ended.clone_from(&place.ended);
            if let Some(key) = key {
                beside.add_key(key);
            }
            return Some(self.insert(beside));
        }
        self.last_serial += 1;
        place.shares.pass_on(hold.id, self.last_serial);
        place.permits += 1;
        if let Some(key) = key {
            place.add_key(key);
        }
        Some(Hold { id: self.last_serial, keys: place.keys().count(), ..*hold })
    }

    fn insert(&mut self, mut place: Slot) -> Hold {
        self.last_serial += 1;
        place.serial = self.last_serial;
        let (serial, keys) = (place.serial, place.keys().count());
        Hold { number: self.places.insert(place), serial, id: serial, keys }
    }

    /// Counts a place and its keys, unless they are counted already.
    pub(super) fn settle(&mut self, number: usize, settings: &Settings) -> Result<(), AdmissionError> {
        let Some(place) = self.places.get(number).filter(|place| !place.is_settled()) else { return Ok(()) };
        self.has_room(place, settings)?;
        self.rate(number, settings)?;
        let Some(place) = self.places.get_mut(number) else { return Ok(()) };
        self.counted += usize::from(!mem::replace(&mut place.is_counted, true));
        for key in place.keys_mut().filter(|key| !key.is_counted) {
            key.is_counted = true;
            *self.by_key.entry(Arc::clone(&key.name)).or_default() += 1;
        }
        Ok(())
    }

    /// Has a place that there was no room for wait for some. One for each key, and few in all.
    pub(super) fn wait(
        &mut self,
        number: usize,
        no: AdmissionError,
        settings: &Settings,
    ) -> Result<Arc<Turn>, AdmissionError> {
        let Some(place) = self.places.get(number) else { return Err(no) };
        if let Some(turn) = &place.turn {
            return Ok(Arc::clone(turn));
        }
        let limit = if no == AdmissionError::Full { settings.total } else { settings.per_key };
        let mut waiting = self.queue.iter().filter_map(|&number| self.places.get(number));
        if self.drain_phase != DrainPhase::Open
            || limit == 0
            || self.queue.len() >= WAITERS
            || waiting.any(|other| place.shares_key(other))
        {
            return Err(no);
        }
        // It is asked for good when there is room.
        if place.keys().any(|key| !key.is_rated && !settings.allows(&key.name, false)) {
            return Err(AdmissionError::TooOften);
        }
        let turn = Arc::new(Turn::default());
        if let Some(place) = self.places.get_mut(number) {
            place.turn = Some(Arc::clone(&turn));
        }
        self.queue.push_back(number);
        Ok(turn)
    }

    /// Returns the outcome for a place that waits. `None`: it still waits.
    pub(super) fn outcome(&self, number: usize) -> Option<Result<(), AdmissionError>> {
        let place = self.places.get(number)?;
        match (place.is_settled(), &place.turn) {
            (true, _) => Some(Ok(())),
            // A drain takes the turn from a place that is not settled.
            (false, None) if self.drain_phase != DrainPhase::Open => Some(Err(AdmissionError::Draining)),
            (false, _) => None,
        }
    }

    /// A place has waited for long enough.
    pub(super) fn stop_waiting(&mut self, number: usize, settings: &Settings) -> Result<(), AdmissionError> {
        self.queue.retain(|&waiting| waiting != number);
        // Its waiter has the turn, too: no waker is dropped here.
        if let Some(place) = self.places.get_mut(number) {
            place.turn = None;
        }
        self.settle(number, settings)
    }

    /// Ends the wait that this turn is for, if it still goes on.
    pub(super) fn end_wait(&mut self, number: usize, turn: &Arc<Turn>) {
        let waits = self.places.get_mut(number);
        if waits.is_some_and(|place| place.turn.take_if(|own| Arc::ptr_eq(own, turn)).is_some()) {
            self.queue.retain(|&waiting| waiting != number);
        }
    }

    /// Returns the place of this number, if it has this serial.
    pub(super) fn with_serial(&mut self, number: usize, serial: u64) -> Option<&mut Slot> {
        self.places.get_mut(number).filter(|place| place.serial == serial)
    }

    /// The request that has this place is answered with a stream, or its head goes out without an answer. The permit may have
    /// been held by another stream before, which this one follows.
    pub(super) fn open(
        &mut self,
        number: usize,
        before: Option<StreamId>,
        record: &Arc<StreamControl>,
    ) -> Option<OpenState> {
        let place = self.places.get_mut(number)?;
        let before = before.and_then(|before| place.remove(before));
        place.add(record);
        Some(OpenState { drain_phase: self.drain_phase, ended: place.ended.clone(), _before: before })
    }

    /// A permit is given back, and with it the stream that holds it is gone: the request may be answered with another. With
    /// the last permit the place is free.
    pub(super) fn leave(
        &mut self,
        number: usize,
        share: u64,
        stream: Option<StreamId>,
        was_stalled: bool,
        settings: &Settings,
    ) -> Left {
        let Some(place) = self.places.get_mut(number) else { return Left::default() };
        place.permits -= 1;
        place.shares.give_back(share);
        let is_free = place.permits == 0;
        let mut left = Left { _record: stream.and_then(|stream| place.remove(stream)), ..Left::default() };
        if left._record.is_some() {
            self.ended.total += 1;
            self.ended.stalled += usize::from(was_stalled);
        }
        if is_free {
            left._place = self.places.try_remove(number);
        }
        if let Some(place) = &left._place {
            left.served = self.free(number, place, settings);
        }
        left
    }

    /// Counts a place no more. Returns those that wait and have got one now.
    fn free(&mut self, number: usize, place: &Slot, settings: &Settings) -> Vec<Arc<Turn>> {
        if place.turn.is_some() {
            self.queue.retain(|&waiting| waiting != number);
        }
        self.counted -= usize::from(place.is_counted);
        place.keys().filter(|key| key.is_counted).for_each(|key| self.uncount(&key.name));
        if self.queue.is_empty() { Vec::new() } else { self.serve(settings) }
    }

    fn uncount(&mut self, key: &str) {
        let Some(open) = self.by_key.get_mut(key) else { return };
        *open -= 1;
        if *open == 0 {
            self.by_key.remove(key);
        }
    }

    /// Gives free places to those that wait for them, in order.
    fn serve(&mut self, settings: &Settings) -> Vec<Arc<Turn>> {
        let mut served = Vec::new();
        for number in mem::take(&mut self.queue) {
            if self.settle(number, settings).is_err() {
                self.queue.push_back(number);
            } else if let Some(turn) = self.places.get_mut(number).and_then(|place| place.turn.take()) {
                served.push(turn);
            }
        }
        served
    }

    fn has_room(&self, place: &Slot, settings: &Settings) -> Result<(), AdmissionError> {
        if !place.is_counted && self.counted >= settings.total {
            return Err(AdmissionError::Full);
        }
        let mut new = place.keys().filter(|key| !key.is_counted);
        if new.any(|key| self.of_key(&key.name) >= settings.per_key) {
            return Err(AdmissionError::FullForKey);
        }
        Ok(())
    }

    /// Asks the limit of rate for the keys that it was not asked for.
    fn rate(&mut self, number: usize, settings: &Settings) -> Result<(), AdmissionError> {
        let Some(place) = self.places.get_mut(number) else { return Ok(()) };
        for key in place.keys_mut().filter(|key| !key.is_rated) {
            if !settings.allows(&key.name, true) {
                return Err(AdmissionError::TooOften);
            }
            key.is_rated = true;
        }
        Ok(())
    }

    /// Returns the number of places that are counted.
    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// Returns whether there is no place, not even a tentative one.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn of_key(&self, key: &str) -> usize {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    pub(super) fn drain_phase(&self) -> DrainPhase {
        self.drain_phase
    }

    /// Closes the door, which never opens again. Those that wait for room are refused, and to be woken without the lock.
    pub(super) fn advance_drain(&mut self, door: DrainPhase) -> Vec<Arc<Turn>> {
        if self.drain_phase != DrainPhase::Deadline {
            self.drain_phase = door;
        }
        let waiting = mem::take(&mut self.queue);
        waiting.into_iter().filter_map(|number| self.places.get_mut(number)?.turn.take()).collect()
    }

    pub(super) fn ended(&self) -> Ended {
        self.ended
    }

    /// The streams, without the requests that wait for their answers.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<StreamControl>> {
        self.places.iter().flat_map(|(_, place)| place.records())
    }

    /// Whether no request waits for its answer.
    pub(super) fn all_are_answered(&self) -> bool {
        self.places.iter().all(|(_, place)| place.records().next().is_some())
    }

    /// The place of this number.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Slot> {
        self.places.get_mut(number)
    }

    /// Above all numbers that there are.
    pub(super) fn end(&self) -> usize {
        self.places.capacity()
    }
}

/// The number of requests that may wait for room at a time.
const WAITERS: usize = 64;
