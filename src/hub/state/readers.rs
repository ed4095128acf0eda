//! How far each subscriber of a topic has come, and which publishers wait for them.
//!
//! Pure, under the topic's lock. A subscriber's number moves when it comes for more: until then, what it was given last
//! counts as unread. It moves back when the subscriber has nothing of what is now: its history has ended, or its id was none.

use std::task::Waker;

use slab::Slab;

/// The cursors of a topic's subscribers, and the publishers that wait for the slowest.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    cursors: Slab<u64>,
    waiting: Slab<WaitingPublisher>,
    /// How many histories there were before this one.
    histories: u64,
}

/// A publisher that waits until all have come so far.
#[derive(Debug)]
struct WaitingPublisher {
    through: u64,
    /// How many have not.
    behind: usize,
    waker: Option<Waker>,
}

/// A publisher's wait until all subscribers have read up to a position.
#[derive(Debug)]
pub(crate) enum PublisherWait {
    /// Until each cursor is at `through` or beyond. If another epoch begins, none ever gets there.
    Through {
        through: u64,
        epoch_number: u64,
    },
    /// Registered under this number.
    Registered(usize),
    Done,
}

impl Readers {
    /// Polls a publisher's wait. Returns a waker to drop after the lock: the replaced one, or, as an error, the given one if
    /// the wait is over.
    pub(crate) fn poll_wait(
        &mut self,
        wait: &mut PublisherWait,
        is_closed: bool,
        waker: Waker,
    ) -> Result<Option<Waker>, Waker> {
        match *wait {
            PublisherWait::Done => Err(waker),
            PublisherWait::Through { epoch_number, .. } if is_closed || epoch_number != self.histories => Err(waker),
            PublisherWait::Through { through, .. } => self.wait(through, waker).map(|publisher| {
                *wait = PublisherWait::Registered(publisher);
                None
            }),
            PublisherWait::Registered(publisher) => self.wait_on(publisher, waker),
        }
    }

    /// How many histories there were before the one that the cursors are of.
    pub(crate) fn epoch_number(&self) -> u64 {
        self.histories
    }

    pub(crate) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// A subscriber comes, who has everything up to this cursor.
    pub(crate) fn join(&mut self, cursor: u64) -> usize {
        // A publisher that is done, and does not know yet, waits for nobody else.
        for waiting in self.waiting.iter_mut().map(|(_, waiting)| waiting).filter(|waiting| waiting.behind > 0) {
            waiting.behind += usize::from(cursor < waiting.through);
        }
        self.cursors.insert(cursor)
    }

    /// A subscriber has come further, or back. Gives the publishers to wake.
    pub(crate) fn advance(&mut self, reader: usize, cursor: u64) -> Vec<Waker> {
        let Some(old) = self.cursors.get_mut(reader).filter(|cursor| **cursor != DETACHED) else {
            return Vec::new();
        };
        let old = std::mem::replace(old, cursor);
        if cursor < old {
            self.rewound(old, cursor);
        }
        self.passed(old, cursor)
    }

    /// Another history begins: nobody has anything of it. Gives the publishers to wake.
    pub(crate) fn begin_epoch(&mut self) -> Vec<Waker> {
        self.histories += 1;
        let present = self.cursors.iter_mut().map(|(_, cursor)| cursor).filter(|cursor| **cursor != DETACHED);
        present.for_each(|cursor| *cursor = 0);
        self.release_producers()
    }

    /// A subscriber is waited for no longer, though its number stays its own. Gives the publishers to wake; `None`: it was
    /// absent before.
    pub(crate) fn detach(&mut self, reader: usize) -> Option<Vec<Waker>> {
        let cursor = self.cursors.get_mut(reader).filter(|cursor| **cursor != DETACHED)?;
        let cursor = std::mem::replace(cursor, DETACHED);
        Some(self.passed(cursor, DETACHED))
    }

    /// A subscriber leaves, and its number may become another's. Gives the publishers to wake; `None`: it was absent.
    pub(crate) fn leave(&mut self, reader: usize) -> Option<Vec<Waker>> {
        let wakers = self.detach(reader);
        let _ = self.cursors.try_remove(reader);
        wakers
    }

    /// A publisher waits until all have everything up to here. An error, with the waker to drop: they have.
    pub(crate) fn wait(&mut self, through: u64, waker: Waker) -> Result<usize, Waker> {
        let behind = self.cursors.iter().filter(|&(_, &cursor)| cursor < through).count();
        if behind == 0 {
            return Err(waker);
        }
        Ok(self.waiting.insert(WaitingPublisher { through, behind, waker: Some(waker) }))
    }

    /// A publisher looks again. Gives back a waker to drop, its own or the old one; an error once nobody is behind.
    pub(crate) fn wait_on(&mut self, publisher: usize, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.waiting.get_mut(publisher) {
            Some(waiting) if waiting.behind > 0 => Ok(waiting.waker.replace(waker)),
            _ => Err(waker),
        }
    }

    /// A publisher waits no more.
    pub(crate) fn cancel_wait(&mut self, publisher: usize) -> Option<Waker> {
        self.waiting.try_remove(publisher)?.waker
    }

    /// Nobody has to be waited for any more.
    pub(crate) fn release_producers(&mut self) -> Vec<Waker> {
        let waiting = self.waiting.iter_mut().map(|(_, waiting)| waiting);
        waiting
            .filter_map(|waiting| {
                waiting.behind = 0;
                waiting.waker.take()
            })
            .collect()
    }

    fn rewound(&mut self, from: u64, to: u64) {
        let waiting = self.waiting.iter_mut().map(|(_, waiting)| waiting);
        // One that is done already stays so.
        let before = waiting.filter(|waiting| waiting.behind > 0 && to < waiting.through && waiting.through <= from);
        before.for_each(|waiting| waiting.behind += 1);
    }

    fn passed(&mut self, from: u64, to: u64) -> Vec<Waker> {
        let waiting = self.waiting.iter_mut().map(|(_, waiting)| waiting);
        let passed = waiting.filter(|waiting| from < waiting.through && waiting.through <= to);
        passed
            .filter_map(|waiting| {
                waiting.behind = waiting.behind.saturating_sub(1);
                if waiting.behind == 0 { waiting.waker.take() } else { None }
            })
            .collect()
    }
}

/// The cursor of a subscriber that nobody waits for: it is behind nothing.
const DETACHED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join(u64),
        /// Of those who are there, so many further.
        Advance(prop::sample::Index, u64),
        Absent(prop::sample::Index),
        /// To another place, which may be one before.
        Move(prop::sample::Index, u64),
        Leave(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0_u64..20).prop_map(Step::Join),
            3 => (any::<prop::sample::Index>(), 0_u64..10).prop_map(|(who, ahead)| Step::Advance(who, ahead)),
            1 => any::<prop::sample::Index>().prop_map(Step::Absent),
            1 => (any::<prop::sample::Index>(), 0_u64..20).prop_map(|(who, to)| Step::Move(who, to)),
            1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        ]
    }

    /// Takes a step, in both. Wakes whom it shall.
    fn take(step: &Step, readers: &mut Readers, naive: &mut BTreeMap<usize, u64>) {
        let who = |index: &prop::sample::Index| {
            (!naive.is_empty()).then(|| *index.get(&naive.keys().copied().collect::<Vec<_>>()))
        };
        let woken = match step {
            Step::Join(cursor) => {
                let reader = readers.join(*cursor);
                assert_eq!(naive.insert(reader, *cursor), None);
                Vec::new()
            }
            Step::Advance(index, ahead) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive[&reader];
                if was != DETACHED {
                    naive.insert(reader, was + ahead);
                }
                // Also one that is absent may be polled once more.
                readers.advance(reader, if was == DETACHED { *ahead } else { was + ahead })
            }),
            Step::Absent(index) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive.insert(reader, DETACHED);
                let wakers = readers.detach(reader);
                assert_eq!(wakers.is_none(), was == Some(DETACHED));
                wakers.unwrap_or_default()
            }),
            Step::Move(index, to) => who(index).map_or_else(Vec::new, |reader| {
                if naive[&reader] != DETACHED {
                    naive.insert(reader, *to);
                }
                readers.advance(reader, *to)
            }),
            Step::Leave(index) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive.remove(&reader);
                let wakers = readers.leave(reader);
                assert_eq!(wakers.is_none(), was == Some(DETACHED));
                wakers.unwrap_or_default()
            }),
        };
        woken.into_iter().for_each(Waker::wake);
    }

    proptest! {
        #[test]
        fn a_publisher_waits_as_long_as_somebody_is_behind_and_is_woken_once(
            first in prop::collection::vec(step(), 0..10),
            through in 0_u64..20,
            then in prop::collection::vec(step(), 0..40),
        ) {
            let (mut readers, mut naive, count) = (Readers::default(), BTreeMap::new(), Arc::new(Count::default()));
            first.iter().for_each(|step| take(step, &mut readers, &mut naive));
            let is_behind = |naive: &BTreeMap<usize, u64>| naive.values().any(|&cursor| cursor < through);
            let Ok(publisher) = readers.wait(through, Arc::clone(&count).into()) else {
                assert!(!is_behind(&naive));
                return Ok(());
            };
            for step in &then {
                assert!(is_behind(&naive));
                take(step, &mut readers, &mut naive);
                assert_eq!(readers.len(), naive.len());
                assert_eq!(count.0.load(SeqCst), usize::from(!is_behind(&naive)));
                if readers.wait_on(publisher, Arc::clone(&count).into()).is_err() {
                    break;
                }
            }
            assert_eq!(readers.wait_on(publisher, Arc::clone(&count).into()).is_err(), !is_behind(&naive));
            drop(readers.cancel_wait(publisher));
            assert_eq!(Arc::strong_count(&count), 1, "no waker stays");
        }
    }

    /// It waited again, for whoever came before it was polled: in a topic that was closed, or of another history, without end.
    #[test]
    fn a_publisher_that_is_done_is_not_held_by_who_comes_before_it_looks() {
        let (mut readers, count) = (Readers::default(), Arc::new(Count::default()));
        readers.join(0);
        let publisher = readers.wait(10, Arc::clone(&count).into()).unwrap();
        assert_eq!(readers.release_producers().len(), 1);
        readers.join(0);
        assert!(readers.wait_on(publisher, Arc::clone(&count).into()).is_err());
    }
}
