//! The wakers of a topic's subscribers that have read everything.
//!
//! Pure, under the topic's lock. Wakers are cloned before they come in, and go out to be dropped: none is woken, cloned or
//! dropped here. All wakers of a queue are taken at once, by taking the slab that they are in; a ticket from before has an old
//! round then, and refers to no waker.

use std::{sync::Arc, task::Waker};

use slab::Slab;

use super::rounds::{News, RoundStart, Rounds};
use crate::hub::{
    settings::Linger,
    wake::{queue::WakeQueue, wakes::QueuesToWake},
};

/// The wakers of a topic, by queue. `T` is the topic.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    queues: Vec<QueueWaiters<T>>,
}

#[derive(Debug)]
struct QueueWaiters<T> {
    queue: Arc<WakeQueue<T>>,
    wakers: Slab<Waker>,
    round: u32,
    /// The wakers are taken when the topic's turn in the queue comes.
    rounds: Rounds,
}

/// The place of a subscriber's waker, if it is still there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticket {
    queue: u32,
    /// The round in which the waker was registered, or 0 if there is none.
    round: u32,
    slot: u32,
}

/// A waker to register in a topic, and the place of the one before.
pub(crate) struct Registration<'a, T> {
    pub(crate) queue: &'a Arc<WakeQueue<T>>,
    pub(crate) ticket: &'a mut Ticket,
    pub(crate) waker: Waker,
}

/// The error that the pump of a queue is gone: another queue is needed. Holds the waker, to be dropped after the lock.
#[derive(Debug)]
pub(crate) struct QueueClosed(#[expect(dead_code, reason = "it is only dropped")] Waker);

impl<T> Waiters<T> {
    pub(crate) fn new() -> Self {
        Self { queues: Vec::new() }
    }

    /// Registers a waker in place of the ticket's, which is returned.
    #[inline]
    pub(crate) fn register(
        &mut self,
        queue: &Arc<WakeQueue<T>>,
        ticket: &mut Ticket,
        waker: Waker,
    ) -> Result<Option<Waker>, QueueClosed> {
        if queue.is_closed() {
            return Err(QueueClosed(waker));
        }
        if ticket.queue == queue.id() {
            if let Some(registered) = self.registered(*ticket) {
                return Ok(Some(std::mem::replace(registered, waker)));
            }
        }
        let waiters = self.of_queue(queue);
        let slot = u32::try_from(waiters.wakers.insert(waker)).unwrap_or(u32::MAX);
        let new = Ticket { queue: queue.id(), round: waiters.round, slot };
        // A waker in another queue would wake the task twice, and stay after it.
        let old = std::mem::replace(ticket, new);
        Ok(self.clear(old))
    }

    /// Removes the waker of a ticket, which refers to no waker from here on.
    pub(crate) fn clear(&mut self, ticket: Ticket) -> Option<Waker> {
        let waiters = self.queues.iter_mut().find(|waiters| waiters.has(ticket))?;
        waiters.wakers.try_remove(ticket.slot as usize)
    }

    /// Records news of a topic that does not linger. Returns the queues, of those in which subscribers wait, that the topic
    /// has to be added to.
    #[inline]
    pub(crate) fn queues_to_wake(&mut self) -> Option<QueuesToWake<T>> {
        let waited_in = self.queues.iter_mut().filter(|waiters| !waiters.wakers.is_empty());
        chain(waited_in.filter_map(|waiters| waiters.rounds.mark().then_some(&waiters.queue)))
    }

    /// The same for a topic that lingers, or whose rounds are due.
    pub(crate) fn queues_to_wake_with(&mut self, news: &News) -> Option<QueuesToWake<T>> {
        let waited_in = self.queues.iter_mut().filter(|waiters| !waiters.wakers.is_empty());
        chain(waited_in.filter_map(|waiters| waiters.rounds.record(news).then_some(&waiters.queue)))
    }

    /// Makes the rounds due that have not begun. Returns the queues that the topic has to be added to.
    pub(crate) fn release(&mut self) -> Option<QueuesToWake<T>> {
        chain(self.queues.iter_mut().filter_map(|waiters| waiters.rounds.release().then_some(&waiters.queue)))
    }

    /// Begins a round of a queue as its turn comes, unless the topic has to be held. `now` is called only if it lingers.
    #[inline]
    pub(crate) fn begin_round(
        &mut self,
        queue: &WakeQueue<T>,
        linger: Linger,
        now: impl FnOnce() -> u64,
    ) -> RoundStart {
        let rounds = self.find(queue).map(|waiters| &mut waiters.rounds);
        rounds.map_or(RoundStart::Now { held_until: 0 }, |rounds| rounds.begin(linger, now))
    }

    /// Begins a round of a queue that held the topic until this time. Returns `false` if it does not any more.
    pub(crate) fn resume_round(&mut self, queue: &WakeQueue<T>, until: u64, now: u64) -> bool {
        self.find(queue).is_some_and(|waiters| waiters.rounds.expire(until, now))
    }

    /// Returns the number of wakers in a queue.
    pub(crate) fn len(&self, queue: &WakeQueue<T>) -> usize {
        self.queues.iter().find(|waiters| waiters.queue.id() == queue.id()).map_or(0, |waiters| waiters.wakers.len())
    }

    /// Takes the wakers of a queue. `room` replaces the slab that they were in.
    pub(crate) fn take(&mut self, queue: &WakeQueue<T>, room: Slab<Waker>) -> Slab<Waker> {
        let Some(waiters) = self.find(queue) else { return room };
        waiters.rounds.end_turn();
        waiters.round = waiters.round.checked_add(1).unwrap_or(1);
        std::mem::replace(&mut waiters.wakers, room)
    }

    /// Removes a queue that is closed. Returns its wakers.
    pub(crate) fn remove(&mut self, queue: &WakeQueue<T>) -> Option<Slab<Waker>> {
        let at = self.queues.iter().position(|waiters| waiters.queue.id() == queue.id())?;
        Some(self.queues.swap_remove(at).wakers)
    }

    fn of_queue(&mut self, queue: &Arc<WakeQueue<T>>) -> &mut QueueWaiters<T> {
        let at = match self.queues.iter().position(|waiters| waiters.queue.id() == queue.id()) {
            Some(at) => at,
            None => {
                let (queue, wakers) = (Arc::clone(queue), Slab::new());
                self.queues.push(QueueWaiters { queue, wakers, round: 1, rounds: Rounds::default() });
                self.queues.len() - 1
            }
        };
        &mut self.queues[at]
    }

    fn find(&mut self, queue: &WakeQueue<T>) -> Option<&mut QueueWaiters<T>> {
        self.queues.iter_mut().find(|waiters| waiters.queue.id() == queue.id())
    }

    fn registered(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        let waiters = self.queues.iter_mut().find(|waiters| waiters.has(ticket))?;
        waiters.wakers.get_mut(ticket.slot as usize)
    }
}

fn chain<'a, T: 'a>(queues: impl Iterator<Item = &'a Arc<WakeQueue<T>>>) -> Option<QueuesToWake<T>> {
    queues.fold(None, |next, queue| Some(QueuesToWake { queue: Arc::clone(queue), next: next.map(Box::new) }))
}

impl<T> QueueWaiters<T> {
    fn has(&self, ticket: Ticket) -> bool {
        self.queue.id() == ticket.queue && self.round == ticket.round
    }
}

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use std::{collections::BTreeMap, iter, task::Wake};

    use proptest::prelude::*;

    use super::*;

    /// The waker of one subscriber, known by its address.
    struct Subscriber;

    impl Wake for Subscriber {
        fn wake(self: Arc<Self>) {}
    }

    #[derive(Debug, Clone)]
    enum Step {
        Register { subscriber: usize, queue: usize },
        Clear { subscriber: usize },
        Mark,
        Take { queue: usize },
    }

    const QUEUES: usize = 2;

    const SUBSCRIBERS: usize = 4;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..SUBSCRIBERS, 0..QUEUES).prop_map(|(subscriber, queue)| Step::Register { subscriber, queue }),
            2 => (0..SUBSCRIBERS).prop_map(|subscriber| Step::Clear { subscriber }),
            2 => Just(Step::Mark),
            2 => (0..QUEUES).prop_map(|queue| Step::Take { queue }),
        ]
    }

    fn subscribers_in(naive: &BTreeMap<usize, usize>, queue: usize) -> Vec<usize> {
        naive.iter().filter(|&(_, &in_queue)| in_queue == queue).map(|(&subscriber, _)| subscriber).collect()
    }

    proptest! {
        #[test]
        fn a_subscriber_waits_once_in_the_queue_that_it_used_last(steps in prop::collection::vec(step(), 0..80)) {
            let queues: Vec<_> = (1..).take(QUEUES).map(|id| WakeQueue::<()>::new(id, true)).collect();
            let wakers: Vec<Waker> = (0..SUBSCRIBERS).map(|_| Arc::new(Subscriber).into()).collect();
            let (mut waiters, mut tickets) = (Waiters::new(), [Ticket::default(); SUBSCRIBERS]);
            let (mut naive, mut queued) = (BTreeMap::new(), [false; QUEUES]);
            for step in steps {
                match step {
                    Step::Register { subscriber, queue } => {
                        let waker = wakers[subscriber].clone();
                        let replaced = waiters.register(&queues[queue], &mut tickets[subscriber], waker);
                        let replaced = replaced.expect("the queue is open");
                        let had_waker = naive.insert(subscriber, queue).is_some();
                        assert_eq!(replaced.is_some_and(|waker| waker.will_wake(&wakers[subscriber])), had_waker);
                    }
                    Step::Clear { subscriber } => {
                        let removed = waiters.clear(std::mem::take(&mut tickets[subscriber]));
                        assert_eq!(removed.is_some(), naive.remove(&subscriber).is_some());
                    }
                    Step::Mark => {
                        let marked = waiters.queues_to_wake();
                        let marked = iter::successors(marked.as_ref(), |queues| queues.next.as_deref());
                        let mut marked: Vec<_> = marked.map(|queues| queues.queue.id() as usize - 1).collect();
                        marked.sort_unstable();
                        let due = (0..QUEUES).filter(|&at| !queued[at] && !subscribers_in(&naive, at).is_empty());
                        let due: Vec<_> = due.collect();
                        due.iter().for_each(|&queue| queued[queue] = true);
                        assert_eq!(marked, due);
                    }
                    Step::Take { queue } => {
                        assert_eq!(waiters.len(&queues[queue]), subscribers_in(&naive, queue).len());
                        let taken = waiters.take(&queues[queue], Slab::new());
                        let of = |waker: &Waker| wakers.iter().position(|other| other.will_wake(waker));
                        let mut taken: Vec<_> = taken.iter().filter_map(|(_, waker)| of(waker)).collect();
                        taken.sort_unstable();
                        assert_eq!(taken, subscribers_in(&naive, queue));
                        naive.retain(|_, in_queue| *in_queue != queue);
                        queued[queue] = false;
                    }
                }
            }
        }
    }
}
