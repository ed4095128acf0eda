//! The owner of slots, as a permit and a waiter see it.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    error::AdmissionError,
    open_stream::OpenStream,
    queued_waker::QueuedWaker,
    slot::{SlotId, StreamId},
};

/// The owner of the slots that permits stand for.
pub(super) trait SlotOwner: fmt::Debug + Send + Sync {
    /// Counts a slot against the limits. Does nothing if it is counted already.
    fn admit(&self, slot: SlotId) -> Result<(), AdmissionError>;

    /// Queues a slot that was not admitted for this reason. Returns `None` if it is admitted meanwhile.
    fn enqueue(&self, slot: SlotId, refused: AdmissionError) -> Result<Option<Arc<QueuedWaker>>, AdmissionError>;

    /// Returns the outcome for a queued slot, or `None` if it still waits.
    fn outcome(&self, slot: SlotId) -> Option<Result<(), AdmissionError>>;

    /// Removes a slot from the queue, and tries to admit it a last time.
    fn stop_waiting(&self, slot: SlotId) -> Result<(), AdmissionError>;

    /// Removes a slot from the queue, if it is still there with this waker.
    fn cancel_wait(&self, slot: SlotId, waker: &Arc<QueuedWaker>);

    /// Returns the time for which the request of a slot has waited, or zero if the slot is another request's by now.
    fn waited(&self, slot: SlotId, serial: u64) -> Duration;

    /// Adds to the time for which the request of a slot has waited.
    fn add_waited(&self, slot: SlotId, serial: u64, time: Duration);

    /// Adds a stream to a slot, in place of the one that its permit held before.
    fn open(self: Arc<Self>, slot: SlotId, before: Option<StreamId>, stream: Arc<dyn OpenStream>);

    /// Releases a share of a slot, and removes the stream that held it.
    fn release(&self, slot: SlotId, share: u64, stream: Option<StreamId>, was_stalled: bool);

    /// Returns the time over which the clients of a drain reconnect.
    fn reconnect_spread(&self) -> Duration;

    /// Returns the time after which a client that does not read counts as stalled.
    fn stall_timeout(&self) -> Option<Duration>;
}
