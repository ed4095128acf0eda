//! What a stream holds for others: its permit, who looks at it, and its place among the subscribers of topics.
//!
//! It can be told to its end, and let go of, by whoever comes first: the body, or somebody outside while nobody polls it.
//! No lock is held while an observer is called, so one may do what it likes with other streams.

use std::fmt;
use std::{
    error::Error,
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use super::permit::Permit;
use crate::{
    access::AccessRevoked,
    event::gap::Gap,
    observe::{Reason, Sent, dispatch::StreamObservers},
    streams::attached::Attached,
};

/// What is let go of at the end of a stream, once.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    watch: Mutex<ObserverSlot>,
    held: Mutex<Held>,
    why: OnceLock<AccessRevoked>,
}

#[derive(Debug, Default)]
struct Held {
    /// One, or several where layers have several [`Streams`](crate::streams::Streams).
    permit: Option<Permit>,
    more_permits: Vec<Permit>,
    detach: Option<Box<dyn Detach>>,
    /// The demands that layers make of a stream that was not polled yet.
    attached: Option<Box<Attached>>,
    is_over: bool,
}

/// The observers of a stream.
#[derive(Debug, Default)]
struct ObserverSlot {
    /// Those that are not being told something.
    observed: Option<Box<StreamObservers>>,
    is_telling: bool,
    over: Option<(Reason, Option<AccessRevoked>)>,
}

impl Resources {
    pub(crate) fn observe(&self, observed: Box<StreamObservers>) {
        let mut watch = self.lock_watch();
        let Some((reason, why)) = watch.over.clone() else {
            StreamObservers::append(&mut watch.observed, observed);
            return;
        };
        drop(watch);
        observed.closed(reason, why.as_ref().map(|why| why as _));
    }

    /// Holds a permit until the stream is over.
    pub(crate) fn hold_permit(&self, mut permit: Permit) {
        let mut held = self.lock_held();
        if held.is_over || held.permits().any(|other| other.is_same_place(&permit)) {
            if !held.is_over {
                permit.is_spare();
            }
            drop(held);
            // It is given back only now, without the lock.
            drop(permit);
        } else if held.permit.is_none() {
            held.permit = Some(permit);
        } else {
            held.more_permits.push(permit);
        }
    }

    pub(crate) fn attach(&self, attach: impl FnOnce(&mut Attached)) {
        attach(self.lock_held().attached.get_or_insert_default());
    }

    pub(crate) fn take_attached(&self) -> Option<Box<Attached>> {
        self.lock_held().attached.take()
    }

    /// Gives the observers and permits to a stream that goes on in the place of this one.
    pub(crate) fn hand_over(&self) -> (Option<Box<StreamObservers>>, Vec<Permit>) {
        let observed = self.lock_watch().observed.take();
        let mut held = self.lock_held();
        let mut permits = mem::take(&mut held.more_permits);
        permits.extend(held.permit.take());
        (observed, permits)
    }

    /// Over how long the clients of a drain come back.
    pub(crate) fn spread(&self) -> Duration {
        self.lock_held().permits().map(|permit| permit.registry().spread()).max().unwrap_or_default()
    }

    /// Returns when a client that does not read is taken for stalled, where a layer has said so.
    pub(crate) fn stalled_after(&self) -> Option<Duration> {
        self.lock_held().permits().filter_map(|permit| permit.registry().stalled_after()).min()
    }

    pub(crate) fn withdraw(&self, why: AccessRevoked) {
        let _ = self.why.set(why);
    }

    /// Why access was withdrawn, if somebody outside did it.
    pub(crate) fn revocation(&self) -> Option<&AccessRevoked> {
        self.why.get()
    }

    pub(crate) fn sent(&self, sent: Sent) {
        self.notify(|observed| observed.sent(sent));
    }

    pub(crate) fn lagged(&self, gap: &Gap) {
        self.notify(|observed| observed.lagged(gap));
    }

    /// What the source is to others, which somebody else may have to give up.
    pub(crate) fn hold_detach(&self, by_source: Box<dyn Detach>) {
        let mut held = self.lock_held();
        if !held.is_over {
            held.detach = Some(by_source);
            return;
        }
        drop(held);
        // Somebody has ended the stream while it was polled, and may have been the last to poll it.
        by_source.detach();
    }

    /// Nobody polls the stream, and nothing more is sent to it.
    pub(crate) fn abandon(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let by_source = self.lock_held().detach.take();
        if let Some(by_source) = by_source {
            by_source.detach();
        }
        self.close(reason, error);
    }

    /// The stream is over, or as good as over. The first to say so is heard.
    pub(crate) fn close(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        self.close_observed(reason, error);
        let mut held = self.lock_held();
        held.is_over = true;
        let (permit, more_permits) = (held.permit.take(), mem::take(&mut held.more_permits));
        let (_by_source, _attached) = (held.detach.take(), held.attached.take());
        drop(held);
        for mut permit in permit.into_iter().chain(more_permits) {
            if reason == Reason::Stalled {
                permit.note_stalled();
            }
        }
    }

    fn close_observed(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let mut watch = self.lock_watch();
        if watch.over.is_some() {
            return;
        }
        watch.over = Some((reason, self.why.get().filter(|_| reason == Reason::Revoked).cloned()));
        let observed = watch.observed.take();
        drop(watch);
        if let Some(observed) = observed {
            observed.closed(reason, error);
        }
    }

    fn notify(&self, tell: impl FnOnce(&mut StreamObservers)) {
        let mut watch = self.lock_watch();
        if watch.is_telling {
            return;
        }
        let Some(mut observed) = watch.observed.take() else { return };
        watch.is_telling = true;
        drop(watch);
        tell(&mut observed);
        let mut watch = self.lock_watch();
        watch.is_telling = false;
        // The end may have come meanwhile.
        if let Some((reason, why)) = watch.over.clone() {
            drop(watch);
            observed.closed(reason, why.as_ref().map(|why| why as _));
            return;
        }
        let newer = watch.observed.replace(observed);
        if let Some(newer) = newer {
            StreamObservers::append(&mut watch.observed, newer);
        }
    }

    fn lock_watch(&self) -> MutexGuard<'_, ObserverSlot> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn permits(&self) -> impl Iterator<Item = &Permit> {
        self.permit.iter().chain(&self.more_permits)
    }
}

/// Something that is not the body's alone: a place among the subscribers of a topic.
#[expect(unnameable_types, reason = "sealed")]
pub trait Detach: fmt::Debug + Send + Sync {
    /// Gives it up. The source may be polled once more, and gives it up itself when it is released: to do so twice is to
    /// do it once.
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
    struct Somebody(Arc<AtomicBool>);

    impl Detach for Somebody {
        fn detach(&self) {
            self.0.store(true, SeqCst);
        }
    }

    /// It was dropped, and stayed among the subscribers for as long as the connection of one who does not read.
    #[test]
    fn what_comes_once_the_stream_was_ended_from_outside_is_given_up() {
        let outside = Resources::default();
        outside.abandon(Reason::Revoked, None);
        let is_given_up = Arc::new(AtomicBool::new(false));
        outside.hold_detach(Box::new(Somebody(Arc::clone(&is_given_up))));
        assert!(is_given_up.load(SeqCst));
    }
}
