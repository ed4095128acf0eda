//! The publishers that wait for a topic's subscribers.
//!
//! Pure, under the topic's lock. The cursors themselves are in the lanes. A cursor advances when its subscriber is polled
//! again: until then, the last events that it was given count as unread. It is rewound when another epoch has begun, or the
//! client's id was no position. While a publisher waits, each change of a cursor is reported here.

use std::task::Waker;

use slab::Slab;

/// The number of a topic's subscribers, and the publishers that wait for the slowest.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    count: usize,
    waiting: Slab<WaitingPublisher>,
    /// The number of epochs before this one.
    epochs_before: u64,
}

/// A publisher that waits until all cursors are at `through` or beyond.
#[derive(Debug)]
struct WaitingPublisher {
    through: u64,
    /// The number of cursors that are not.
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
    /// Polls a publisher's wait. `behind` counts the cursors that are below a sequence. Returns a waker to drop after the lock: the replaced one, or, as an error, the given one if
    /// the wait is over.
    pub(crate) fn poll_wait(
        &mut self,
        wait: &mut PublisherWait,
        is_closed: bool,
        waker: Waker,
        behind: impl FnOnce(u64) -> usize,
    ) -> Result<Option<Waker>, Waker> {
        match *wait {
            PublisherWait::Done => Err(waker),
            PublisherWait::Through { epoch_number, .. } if is_closed || epoch_number != self.epochs_before => {
                Err(waker)
            }
            PublisherWait::Through { through, .. } => self.wait(through, behind(through), waker).map(|publisher| {
                *wait = PublisherWait::Registered(publisher);
                None
            }),
            PublisherWait::Registered(publisher) => self.wait_on(publisher, waker),
        }
    }

    /// Returns the number of epochs before the one that the cursors are of.
    pub(crate) fn epoch_number(&self) -> u64 {
        self.epochs_before
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns whether a publisher waits, so that changes of cursors have to be reported.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Adds a subscriber with this cursor.
    pub(crate) fn join(&mut self, cursor: u64) {
        self.count += 1;
        // A publisher whose wait is over, but that was not polled since, does not wait for another subscriber.
        for waiting in self.waiting.iter_mut().map(|(_, waiting)| waiting).filter(|waiting| waiting.behind > 0) {
            waiting.behind += usize::from(cursor < waiting.through);
        }
    }

    /// Records that a cursor was advanced, or rewound. Returns the publishers to wake.
    pub(crate) fn moved(&mut self, from: u64, to: u64) -> Vec<Waker> {
        if to < from {
            self.rewound(from, to);
        }
        self.passed(from, to)
    }

    /// Begins another epoch, of which no subscriber has read anything. Returns the publishers to wake.
    pub(crate) fn begin_epoch(&mut self) -> Vec<Waker> {
        self.epochs_before += 1;
        self.release_publishers()
    }

    /// Removes a subscriber, whose cursor was detached before.
    pub(crate) fn leave(&mut self) {
        self.count -= 1;
    }

    /// Registers a publisher until all cursors are at `through` or beyond, of which so many are not. Returns the waker as an
    /// error if all are.
    pub(crate) fn wait(&mut self, through: u64, behind: usize, waker: Waker) -> Result<usize, Waker> {
        if behind == 0 {
            return Err(waker);
        }
        Ok(self.waiting.insert(WaitingPublisher { through, behind, waker: Some(waker) }))
    }

    /// Replaces the waker of a publisher. Returns a waker to drop: the replaced one, or, as an error, the given one if no cursor
    /// is behind.
    pub(crate) fn wait_on(&mut self, publisher: usize, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.waiting.get_mut(publisher) {
            Some(waiting) if waiting.behind > 0 => Ok(waiting.waker.replace(waker)),
            _ => Err(waker),
        }
    }

    /// Removes a publisher.
    pub(crate) fn cancel_wait(&mut self, publisher: usize) -> Option<Waker> {
        self.waiting.try_remove(publisher)?.waker
    }

    /// Ends the waits of all publishers. Returns their wakers.
    pub(crate) fn release_publishers(&mut self) -> Vec<Waker> {
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
        // A wait that is over stays so.
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
    use crate::hub::state::lane::DETACHED;

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
        /// Advances one of the subscribers by so many.
        Advance(prop::sample::Index, u64),
        Detach(prop::sample::Index),
        /// Sets the cursor of one of the subscribers, which may rewind it.
        Move(prop::sample::Index, u64),
        Leave(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0_u64..20).prop_map(Step::Join),
            3 => (any::<prop::sample::Index>(), 0_u64..10).prop_map(|(who, ahead)| Step::Advance(who, ahead)),
            1 => any::<prop::sample::Index>().prop_map(Step::Detach),
            1 => (any::<prop::sample::Index>(), 0_u64..20).prop_map(|(who, to)| Step::Move(who, to)),
            1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        ]
    }

    /// Takes a step in both models, and wakes the publishers that it returns.
    fn take(step: &Step, readers: &mut Readers, naive: &mut BTreeMap<usize, u64>) {
        let who = |index: &prop::sample::Index| {
            (!naive.is_empty()).then(|| *index.get(&naive.keys().copied().collect::<Vec<_>>()))
        };
        let woken = match step {
            Step::Join(cursor) => {
                readers.join(*cursor);
                let reader = naive.last_key_value().map_or(0, |(last, _)| last + 1);
                naive.insert(reader, *cursor);
                Vec::new()
            }
            Step::Advance(index, ahead) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive[&reader];
                // A detached subscriber may be polled once more.
                if was == DETACHED {
                    return Vec::new();
                }
                naive.insert(reader, was + ahead);
                readers.moved(was, was + ahead)
            }),
            Step::Detach(index) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive.insert(reader, DETACHED).unwrap_or(DETACHED);
                readers.moved(was, DETACHED)
            }),
            Step::Move(index, to) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive[&reader];
                if was == DETACHED {
                    return Vec::new();
                }
                naive.insert(reader, *to);
                readers.moved(was, *to)
            }),
            Step::Leave(index) => who(index).map_or_else(Vec::new, |reader| {
                let was = naive.remove(&reader).unwrap_or(DETACHED);
                readers.leave();
                readers.moved(was, DETACHED)
            }),
        };
        woken.into_iter().for_each(Waker::wake);
    }

    proptest! {
        #[test]
        fn a_publisher_is_woken_once_when_no_reader_is_behind(
            first in prop::collection::vec(step(), 0..10),
            through in 0_u64..20,
            then in prop::collection::vec(step(), 0..40),
        ) {
            let (mut readers, mut naive, count) = (Readers::default(), BTreeMap::new(), Arc::new(Count::default()));
            first.iter().for_each(|step| take(step, &mut readers, &mut naive));
            let is_behind = |naive: &BTreeMap<usize, u64>| naive.values().any(|&cursor| cursor < through);
            let behind = naive.values().filter(|&&cursor| cursor < through).count();
            let Ok(publisher) = readers.wait(through, behind, Arc::clone(&count).into()) else {
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
            assert_eq!(Arc::strong_count(&count), 1, "no waker is left");
        }
    }

    /// A publisher waited for a subscriber that joined before the wait was polled: without end in a closed topic, or in another
    /// epoch.
    #[test]
    fn a_finished_wait_ignores_readers_that_join_later() {
        let (mut readers, count) = (Readers::default(), Arc::new(Count::default()));
        readers.join(0);
        let publisher = readers.wait(10, 1, Arc::clone(&count).into()).unwrap();
        assert_eq!(readers.release_publishers().len(), 1);
        readers.join(0);
        assert!(readers.wait_on(publisher, Arc::clone(&count).into()).is_err());
    }
}
