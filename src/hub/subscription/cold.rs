//! State that most subscriptions do not need once they run, in a box of its own.

use std::sync::Arc;

use super::{output::Notice, replica_wait::ReplicaWait, request::Subscribe};
use crate::hub::{
    position::Position,
    state::{closings::End, found::FoundEvent, read::Floor},
};

/// The rarely needed state of a subscription.
#[derive(Default)]
pub(super) struct ColdState {
    /// The notice to deliver first; taken by the first poll.
    pub(super) first_notice: Option<Notice>,
    /// The id that the client sent, if it is no position of the epoch that is read.
    pub(super) foreign_id: Option<Option<Position>>,
    /// The sequence after which the client resumes.
    pub(super) resumed_after: Option<u64>,
    /// A gap that is delivered after all kept events up to its end.
    pub(super) pending_gap: Option<PendingGap>,
    /// The end of the snapshot that is delivered first.
    pub(super) snapshot_through: u64,
    /// The hidden part of the past, and the sequence up to which it can make a difference.
    pub(super) floor: Option<(Floor, u64)>,
    /// The options to subscribe with again, if another epoch may begin and the bounds have another meaning there.
    pub(super) request: Option<Box<Subscribe>>,
    /// The sequence of the hub when a new client subscribed; 0 for a client that resumes.
    pub(super) joined_at: u64,
    /// The sequence up to which ends that are over are ignored: that of the hub when the client subscribed, or one past an
    /// end that is forgotten.
    pub(super) ends_ignored_through: u64,
    /// The end that the subscription has reached.
    pub(super) end: Option<End>,
    /// The wait for the replica of this node.
    pub(super) replica_wait: ReplicaWait,
    /// The event after a gap, where updates are delivered one at a time.
    pub(super) deferred: Option<FoundEvent>,
    pub(super) member: Option<Arc<str>>,
}

/// A gap that was found and is not delivered yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingGap {
    /// The end of the gap.
    pub(super) to: u64,
    /// The cursor when the gap was found.
    pub(super) found_at: u64,
}

impl ColdState {
    /// Returns whether a subscription that reads every event behaves the same without this state.
    pub(super) fn is_empty(&self) -> bool {
        self.snapshot_through == 0
            && self.foreign_id.is_none()
            && self.resumed_after.is_none()
            && self.pending_gap.is_none()
            && self.floor.is_none()
            && self.request.is_none()
            && self.ends_ignored_through == 0
            && self.end.is_none()
            && self.replica_wait.is_idle()
            && self.deferred.is_none()
            && self.member.is_none()
    }
}
