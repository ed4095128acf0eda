//! A permit to open a stream.

use std::{sync::Arc, time::Duration};

use super::{
    error::AdmissionError,
    open_stream::OpenStream,
    slot::{ShareRef, SlotId, StreamId},
    slot_owner::SlotOwner,
    waiter::{WaitBudget, Waiter},
};

/// A share of a slot. The slot is taken until its last permit is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    owner: Arc<dyn SlotOwner>,
    slot: SlotId,
    /// The id of the share. For the layer that took the slot, it is the slot's serial.
    share: u64,
    /// The stream that holds the permit, or `None` while a request does.
    stream: Option<StreamId>,
    was_stalled: bool,
}

impl Permit {
    pub(super) fn new(owner: Arc<dyn SlotOwner>, share: &ShareRef) -> Self {
        Self { owner, slot: share.slot, share: share.id, stream: None, was_stalled: false }
    }

    pub(super) fn reconnect_spread(&self) -> Duration {
        self.owner.reconnect_spread()
    }

    pub(super) fn stall_timeout(&self) -> Option<Duration> {
        self.owner.stall_timeout()
    }

    /// Returns `true` if both permits are for the same slot.
    pub(super) fn is_same_slot(&self, other: &Self) -> bool {
        self.slot == other.slot && Arc::ptr_eq(&self.owner, &other.owner)
    }

    /// Counts the slot against the limits. Returns a waiter if a limit is reached and the request may wait for a slot.
    ///
    /// The budget is that of a request that has met a layer with streams before.
    ///
    /// # Errors
    ///
    /// The request is not admitted, and may not wait.
    pub(crate) fn admit(&self, budget: Option<&WaitBudget>) -> Result<Option<Waiter>, AdmissionError> {
        let Err(refused) = self.owner.admit(self.slot) else { return Ok(None) };
        let own = || WaitBudget::new(Arc::clone(&self.owner), self.slot, self.share);
        let budget = budget.cloned().unwrap_or_else(own);
        let Some(left) = budget.left() else { return Err(refused) };
        let waker = self.owner.enqueue(self.slot, refused)?;
        Ok(waker.map(|waker| Waiter::new(waker, Arc::clone(&self.owner), self.slot, left, budget)))
    }

    /// Adds a stream to the slot, which is found there until this permit is dropped: the answer to the slot's request,
    /// or one whose head goes out before there is an answer.
    pub(super) fn open(&mut self, stream: Arc<dyn OpenStream>) {
        let before = self.stream.replace(StreamId::of(&stream));
        Arc::clone(&self.owner).open(self.slot, before, stream);
    }

    /// Leaves the stream in the slot when this permit is dropped, since the stream holds another permit of the same
    /// slot.
    pub(super) fn set_spare(&mut self) {
        self.stream = None;
    }

    /// Counts the stream as stalled when this permit is dropped.
    pub(super) fn mark_stalled(&mut self) {
        self.was_stalled = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.owner.release(self.slot, self.share, self.stream, self.was_stalled);
    }
}
