//! What a stream holds for others: its permit, who looks at it, and its place among the subscribers of topics.
//!
//! It can be told to its end, and let go of, by whoever comes first: the body, or somebody outside while nobody polls it.
//! No lock is held while an observer is called, so one may do what it likes with other streams.

use std::{
    error::Error,
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use crate::{
    Reason,
    access::Withdrawn,
    body::source::Holds,
    hub::Gap,
    observe::{Observed, Sent},
    streams::Permit,
};

/// What is let go of at the end of a stream, once.
#[derive(Debug)]
pub(crate) struct Outside {
    observed: Mutex<Watch>,
    held: Mutex<Held>,
    why: OnceLock<Withdrawn>,
}

#[derive(Debug)]
struct Held {
    permit: Option<Permit>,
    by_source: Option<Box<dyn Holds>>,
    is_over: bool,
}

/// The observer of a stream.
#[derive(Debug)]
enum Watch {
    Nobody,
    Here(Box<Observed>),
    /// It is being told something. What it has to be told last, if the end came meanwhile.
    Told(Option<(Reason, Option<Withdrawn>)>),
}

impl Outside {
    /// `None`: there is nothing to hold.
    pub(crate) fn new(observed: Option<Box<Observed>>, permit: Option<Permit>) -> Option<Box<Self>> {
        if observed.is_none() && permit.is_none() {
            return None;
        }
        Some(Box::new(Self {
            observed: Mutex::new(observed.map_or(Watch::Nobody, Watch::Here)),
            held: Mutex::new(Held { permit, by_source: None, is_over: false }),
            why: OnceLock::new(),
        }))
    }

    /// Looks at the permit, if it is still held.
    pub(crate) fn permit<T>(&self, look: impl FnOnce(&Permit) -> T) -> Option<T> {
        self.lock_held().permit.as_ref().map(look)
    }

    pub(crate) fn withdraw(&self, why: Withdrawn) {
        let _ = self.why.set(why);
    }

    /// Why access was withdrawn, if somebody outside did it.
    pub(crate) fn why(&self) -> Option<&Withdrawn> {
        self.why.get()
    }

    pub(crate) fn sent(&self, sent: Sent) {
        self.tell(|observed| observed.sent(sent));
    }

    pub(crate) fn lagged(&self, gap: &Gap) {
        self.tell(|observed| observed.lagged(gap));
    }

    /// What the source is to others, which somebody else may have to give up.
    pub(crate) fn hold(&self, by_source: Box<dyn Holds>) {
        let mut held = self.lock_held();
        if !held.is_over {
            held.by_source = Some(by_source);
            return;
        }
        drop(held);
        // Somebody has ended the stream while it was polled, and may have been the last to poll it.
        by_source.give_up();
    }

    /// Nobody polls the stream, and nothing more is sent to it.
    pub(crate) fn give_up(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let by_source = self.lock_held().by_source.take();
        if let Some(by_source) = by_source {
            by_source.give_up();
        }
        self.close(reason, error);
    }

    /// The stream is over, or as good as over. The first to say so is heard.
    pub(crate) fn close(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        self.close_observed(reason, error);
        let mut held = self.lock_held();
        held.is_over = true;
        let (permit, _by_source) = (held.permit.take(), held.by_source.take());
        drop(held);
        if let (Some(mut permit), Reason::Stalled) = (permit, reason) {
            permit.note_stalled();
        }
    }

    fn close_observed(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        let mut watch = self.lock_observed();
        match mem::replace(&mut *watch, Watch::Nobody) {
            Watch::Here(observed) => {
                drop(watch);
                observed.closed(reason, error);
            }
            Watch::Told(None) => *watch = Watch::Told(Some((reason, self.why.get().cloned()))),
            other => *watch = other,
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Observed)) {
        let mut watch = self.lock_observed();
        let mut observed = match mem::replace(&mut *watch, Watch::Told(None)) {
            Watch::Here(observed) => observed,
            other => {
                *watch = other;
                return;
            }
        };
        drop(watch);
        tell(&mut observed);
        let mut watch = self.lock_observed();
        match mem::replace(&mut *watch, Watch::Nobody) {
            Watch::Told(Some((reason, why))) => {
                drop(watch);
                observed.closed(reason, why.as_ref().map(|why| why as _));
            }
            _ => *watch = Watch::Here(observed),
        }
    }

    fn lock_observed(&self) -> MutexGuard<'_, Watch> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    use super::*;
    use crate::streams::Streams;

    #[derive(Debug)]
    struct Somebody(Arc<AtomicBool>);

    impl Holds for Somebody {
        fn give_up(&self) {
            self.0.store(true, SeqCst);
        }
    }

    /// It was dropped, and stayed among the subscribers for as long as the connection of one who does not read.
    #[test]
    fn what_comes_once_the_stream_was_ended_from_outside_is_given_up() {
        let permit = Streams::new().registry().admit(None).unwrap();
        let outside = Outside::new(None, Some(permit)).unwrap();
        outside.give_up(Reason::Withdrawn, None);
        let is_given_up = Arc::new(AtomicBool::new(false));
        outside.hold(Box::new(Somebody(Arc::clone(&is_given_up))));
        assert!(is_given_up.load(SeqCst));
    }
}
