//! The resources of a stream: its permits, its observers, and its detach handle.
//!
//! The body releases them at its end, or the watchdog, a drain or a logout does while the body is not polled, whichever
//! is first.
//!
//! Lock order: neither lock is held while an observer is called or a permit is dropped, so an observer may act on other
//! streams.

use std::fmt;
use std::{
    error::Error,
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use super::{attached::Attached, permit::Permit};
use crate::{
    access::AccessRevoked,
    event::gap::Gap,
    observe::{Reason, Sent, dispatch::StreamObservers},
};

/// The resources that are released at the end of a stream, once.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    observers: Mutex<ObserverSlot>,
    held: Mutex<HeldResources>,
    /// The cause for which access was revoked from outside the body.
    revocation: OnceLock<AccessRevoked>,
}

#[derive(Debug, Default)]
struct HeldResources {
    /// The first permit. There are more if the layers have several [`Streams`](crate::streams::Streams).
    permit: Option<Permit>,
    more_permits: Vec<Permit>,
    detach: Option<Box<dyn Detach>>,
    /// The requirements of layers that the stream has not taken yet.
    attached: Option<Box<Attached>>,
    is_over: bool,
}

/// The observers of a stream. They are taken out while they are called.
#[derive(Debug, Default)]
struct ObserverSlot {
    observed: Option<Box<StreamObservers>>,
    is_calling: bool,
    /// The reason for the stream's end, once it is over.
    over: Option<(Reason, Option<AccessRevoked>)>,
}

impl Resources {
    /// Adds observers. Reports the end to them at once if the stream is over.
    pub(super) fn observe(&self, observed: Box<StreamObservers>) {
        let mut slot = self.lock_observers();
        let Some((reason, cause)) = slot.over.clone() else {
            StreamObservers::append(&mut slot.observed, observed);
            return;
        };
        drop(slot);
        observed.closed(reason, cause.as_ref().map(|cause| cause as _));
    }

    /// Holds a permit until the stream is over. Drops it if the stream is over, or has one for the same slot.
    pub(super) fn hold_permit(&self, mut permit: Permit) {
        let mut held = self.lock_held();
        if held.is_over || held.permits().any(|other| other.is_same_slot(&permit)) {
            if !held.is_over {
                permit.set_spare();
            }
            drop(held);
            // Lock order: the permit is dropped without the lock.
            drop(permit);
        } else if held.permit.is_none() {
            held.permit = Some(permit);
        } else {
            held.more_permits.push(permit);
        }
    }

    pub(super) fn attach(&self, attach: impl FnOnce(&mut Attached)) {
        attach(self.lock_held().attached.get_or_insert_default());
    }

    pub(super) fn take_attached(&self) -> Option<Box<Attached>> {
        self.lock_held().attached.take()
    }

    /// Takes the observers and permits, for a stream that continues this one.
    pub(super) fn hand_over(&self) -> (Option<Box<StreamObservers>>, Vec<Permit>) {
        let observed = self.lock_observers().observed.take();
        let mut held = self.lock_held();
        let mut permits = mem::take(&mut held.more_permits);
        permits.extend(held.permit.take());
        (observed, permits)
    }

    /// Returns the longest time over which the clients of a drain reconnect.
    pub(super) fn reconnect_spread(&self) -> Duration {
        self.lock_held().permits().map(Permit::reconnect_spread).max().unwrap_or_default()
    }

    /// Returns the shortest time after which a client that does not read counts as stalled, or `None` if no permit has
    /// one.
    pub(super) fn stall_timeout(&self) -> Option<Duration> {
        self.lock_held().permits().filter_map(Permit::stall_timeout).min()
    }

    /// Sets the cause for which access is revoked, unless there is one.
    pub(super) fn revoke(&self, cause: AccessRevoked) {
        let _ = self.revocation.set(cause);
    }

    /// Returns the cause for which access was revoked from outside the body, if it was.
    pub(super) fn revocation(&self) -> Option<&AccessRevoked> {
        self.revocation.get()
    }

    /// Reports a frame to the observers.
    pub(crate) fn sent(&self, sent: Sent) {
        self.notify(|observed| observed.sent(sent));
    }

    /// Reports a gap to the observers.
    pub(crate) fn lagged(&self, gap: &Gap) {
        self.notify(|observed| observed.lagged(gap));
    }

    /// Holds the source's detach handle, for the case that the body is no longer polled. Detaches at once if the stream
    /// is over.
    pub(crate) fn hold_detach(&self, detach: Box<dyn Detach>) {
        let mut held = self.lock_held();
        if !held.is_over {
            held.detach = Some(detach);
            return;
        }
        drop(held);
        // The stream was ended during this poll, which may be the last one.
        detach.detach();
    }

    /// Detaches the source and releases the resources of a stream that is not polled and to which nothing more is sent.
    pub(super) fn abandon(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let detach = self.lock_held().detach.take();
        if let Some(detach) = detach {
            detach.detach();
        }
        self.close(reason, error);
    }

    /// Releases the resources of a stream that is over, or that is abandoned. Observers receive the first reason only.
    pub(super) fn close(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        self.close_observed(reason, error);
        let mut held = self.lock_held();
        held.is_over = true;
        let (permit, more_permits) = (held.permit.take(), mem::take(&mut held.more_permits));
        let (_detach, _attached) = (held.detach.take(), held.attached.take());
        drop(held);
        for mut permit in permit.into_iter().chain(more_permits) {
            if reason == Reason::Stalled {
                permit.mark_stalled();
            }
        }
    }

    fn close_observed(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let mut slot = self.lock_observers();
        if slot.over.is_some() {
            return;
        }
        slot.over = Some((reason, self.revocation.get().filter(|_| reason == Reason::Revoked).cloned()));
        let observed = slot.observed.take();
        drop(slot);
        if let Some(observed) = observed {
            observed.closed(reason, error);
        }
    }

    /// Calls the observers, without the lock. Does nothing if this is called from within an observer.
    fn notify(&self, call: impl FnOnce(&mut StreamObservers)) {
        let mut slot = self.lock_observers();
        if slot.is_calling {
            return;
        }
        let Some(mut observed) = slot.observed.take() else { return };
        slot.is_calling = true;
        drop(slot);
        call(&mut observed);
        let mut slot = self.lock_observers();
        slot.is_calling = false;
        // The stream may have ended during the call.
        if let Some((reason, cause)) = slot.over.clone() {
            drop(slot);
            observed.closed(reason, cause.as_ref().map(|cause| cause as _));
            return;
        }
        let added = slot.observed.replace(observed);
        if let Some(added) = added {
            StreamObservers::append(&mut slot.observed, added);
        }
    }

    fn lock_observers(&self) -> MutexGuard<'_, ObserverSlot> {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_held(&self) -> MutexGuard<'_, HeldResources> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldResources {
    fn permits(&self) -> impl Iterator<Item = &Permit> {
        self.permit.iter().chain(&self.more_permits)
    }
}

/// A handle that releases a source's external registrations, such as its topic membership, when the body is no longer
/// polled.
#[expect(unnameable_types, reason = "sealed")]
pub trait Detach: fmt::Debug + Send + Sync {
    /// Releases the registrations. The source may be polled once more, and releases them itself when it is dropped, so
    /// a second call must have no effect.
    fn detach(&self);
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    use super::*;

    #[derive(Debug)]
    struct DetachFlag(Arc<AtomicBool>);

    impl Detach for DetachFlag {
        fn detach(&self) {
            self.0.store(true, SeqCst);
        }
    }

    /// The handle was dropped, and the subscription stayed in its topic for as long as the connection of a client that
    /// does not read.
    #[test]
    fn detach_handle_added_after_the_end_is_detached() {
        let resources = Resources::default();
        resources.abandon(Reason::Revoked, None);
        let is_detached = Arc::new(AtomicBool::new(false));
        resources.hold_detach(Box::new(DetachFlag(Arc::clone(&is_detached))));
        assert!(is_detached.load(SeqCst));
    }
}
