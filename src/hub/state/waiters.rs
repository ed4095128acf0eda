//! Who waits for a topic: a waker for each subscriber that has read everything.
//!
//! Pure, under the topic's lock, which is never held while a waker is woken, cloned or dropped: wakers come in cloned, and
//! those that are no longer wanted go out to be dropped. All of a lane are taken at once, by taking the slab that they stand
//! in; a ticket from before then has an old round, and is worth nothing.

use std::{sync::Arc, task::Waker};

use slab::Slab;

use crate::hub::wake::{lane::WakeQueue, wakes::QueuesToWake};

/// The wakers of a topic, by lane.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    lanes: Vec<LaneWaiters<T>>,
}

#[derive(Debug)]
struct LaneWaiters<T> {
    lane: Arc<WakeQueue<T>>,
    wakers: Slab<Waker>,
    round: u32,
    /// The topic is in the lane's queue, and the wakers are as good as taken.
    is_queued: bool,
}

/// Where a subscriber's waker stands, if it still does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticket {
    lane: u32,
    /// None is 0.
    round: u32,
    slot: u32,
}

/// The place of a subscriber's waker in a topic.
pub(crate) struct Registration<'a, T> {
    pub(crate) queue: &'a Arc<WakeQueue<T>>,
    pub(crate) ticket: &'a mut Ticket,
    pub(crate) waker: Waker,
}

/// The lane's pump is gone: another lane is needed. Holds the waker until the lock is let go.
#[derive(Debug)]
pub(crate) struct LaneClosed(#[expect(dead_code, reason = "it is only dropped")] Waker);

impl<T> Waiters<T> {
    pub(crate) fn new() -> Self {
        Self { lanes: Vec::new() }
    }

    /// Puts a waker in, in place of the one that the ticket is for, which goes out.
    pub(crate) fn register(
        &mut self,
        lane: &Arc<WakeQueue<T>>,
        ticket: &mut Ticket,
        waker: Waker,
    ) -> Result<Option<Waker>, LaneClosed> {
        if lane.is_closed() {
            return Err(LaneClosed(waker));
        }
        if ticket.lane == lane.id() {
            if let Some(standing) = self.standing(*ticket) {
                return Ok(Some(std::mem::replace(standing, waker)));
            }
        }
        let waiting = self.of_lane(lane);
        let slot = u32::try_from(waiting.wakers.insert(waker)).unwrap_or(u32::MAX);
        let new = Ticket { lane: lane.id(), round: waiting.round, slot };
        // One from another lane would wake this task twice, and stay when it is gone.
        let old = std::mem::replace(ticket, new);
        Ok(self.clear(old))
    }

    /// Takes out the waker that this ticket is for, which is worth nothing from here on.
    pub(crate) fn clear(&mut self, ticket: Ticket) -> Option<Waker> {
        let waiting = self.lanes.iter_mut().find(|waiting| waiting.has(ticket))?;
        waiting.wakers.try_remove(ticket.slot as usize)
    }

    /// Marks the queues in which subscribers wait. Returns those that were not marked, which have to learn of the topic.
    pub(crate) fn queues_to_wake(&mut self) -> Option<QueuesToWake<T>> {
        let unmarked = self.lanes.iter_mut().filter(|waiting| !waiting.is_queued && !waiting.wakers.is_empty());
        unmarked.fold(None, |next, waiting| {
            waiting.is_queued = true;
            Some(QueuesToWake { queue: Arc::clone(&waiting.lane), next: next.map(Box::new) })
        })
    }

    /// How many wait in this lane.
    pub(crate) fn len(&self, lane: &WakeQueue<T>) -> usize {
        self.lanes.iter().find(|waiting| waiting.lane.id() == lane.id()).map_or(0, |waiting| waiting.wakers.len())
    }

    /// All who wait in this lane. `room` takes the place of what they stood in.
    pub(crate) fn take(&mut self, lane: &WakeQueue<T>, room: Slab<Waker>) -> Slab<Waker> {
        let Some(waiting) = self.lanes.iter_mut().find(|waiting| waiting.lane.id() == lane.id()) else { return room };
        waiting.is_queued = false;
        waiting.round = waiting.round.checked_add(1).unwrap_or(1);
        std::mem::replace(&mut waiting.wakers, room)
    }

    /// All who wait in a lane that is no more.
    pub(crate) fn remove(&mut self, lane: &WakeQueue<T>) -> Option<Slab<Waker>> {
        let at = self.lanes.iter().position(|waiting| waiting.lane.id() == lane.id())?;
        Some(self.lanes.swap_remove(at).wakers)
    }

    fn of_lane(&mut self, lane: &Arc<WakeQueue<T>>) -> &mut LaneWaiters<T> {
        let at = match self.lanes.iter().position(|waiting| waiting.lane.id() == lane.id()) {
            Some(at) => at,
            None => {
                self.lanes.push(LaneWaiters {
                    lane: Arc::clone(lane),
                    wakers: Slab::new(),
                    round: 1,
                    is_queued: false,
                });
                self.lanes.len() - 1
            }
        };
        &mut self.lanes[at]
    }

    fn standing(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        let waiting = self.lanes.iter_mut().find(|waiting| waiting.has(ticket))?;
        waiting.wakers.get_mut(ticket.slot as usize)
    }
}

impl<T> LaneWaiters<T> {
    fn has(&self, ticket: Ticket) -> bool {
        self.lane.id() == ticket.lane && self.round == ticket.round
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
        Register { who: usize, lane: usize },
        Clear { who: usize },
        Mark,
        Take { lane: usize },
    }

    const LANES: usize = 2;

    const SUBSCRIBERS: usize = 4;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..SUBSCRIBERS, 0..LANES).prop_map(|(who, lane)| Step::Register { who, lane }),
            2 => (0..SUBSCRIBERS).prop_map(|who| Step::Clear { who }),
            2 => Just(Step::Mark),
            2 => (0..LANES).prop_map(|lane| Step::Take { lane }),
        ]
    }

    fn lanes_of(naive: &BTreeMap<usize, usize>, lane: usize) -> Vec<usize> {
        naive.iter().filter(|&(_, &in_lane)| in_lane == lane).map(|(&who, _)| who).collect()
    }

    proptest! {
        #[test]
        fn each_subscriber_waits_once_in_the_lane_that_it_named_last(steps in prop::collection::vec(step(), 0..80)) {
            let lanes: Vec<_> = (1..).take(LANES).map(|id| WakeQueue::<()>::new(id, true)).collect();
            let wakers: Vec<Waker> = (0..SUBSCRIBERS).map(|_| Arc::new(Subscriber).into()).collect();
            let (mut waiters, mut tickets) = (Waiters::new(), [Ticket::default(); SUBSCRIBERS]);
            let (mut naive, mut queued) = (BTreeMap::new(), [false; LANES]);
            for step in steps {
                match step {
                    Step::Register { who, lane } => {
                        let out = waiters.register(&lanes[lane], &mut tickets[who], wakers[who].clone());
                        let out = out.expect("it is alive");
                        let had = naive.insert(who, lane).is_some();
                        assert_eq!(out.is_some_and(|out| out.will_wake(&wakers[who])), had);
                    }
                    Step::Clear { who } => {
                        let out = waiters.clear(std::mem::take(&mut tickets[who]));
                        assert_eq!(out.is_some(), naive.remove(&who).is_some());
                    }
                    Step::Mark => {
                        let queues = waiters.queues_to_wake();
                        let queues = iter::successors(queues.as_ref(), |queues| queues.next.as_deref());
                        let due = (0..LANES).filter(|&lane| !queued[lane] && !lanes_of(&naive, lane).is_empty());
                        let due: Vec<_> = due.collect();
                        due.iter().for_each(|&lane| queued[lane] = true);
                        let mut marked: Vec<_> = queues.map(|queues| queues.queue.id() as usize - 1).collect();
                        marked.sort_unstable();
                        assert_eq!(marked, due);
                    }
                    Step::Take { lane } => {
                        assert_eq!(waiters.len(&lanes[lane]), lanes_of(&naive, lane).len());
                        let taken = waiters.take(&lanes[lane], Slab::new());
                        let of = |waker: &Waker| wakers.iter().position(|other| other.will_wake(waker));
                        let mut taken: Vec<_> = taken.iter().filter_map(|(_, waker)| of(waker)).collect();
                        taken.sort_unstable();
                        assert_eq!(taken, lanes_of(&naive, lane));
                        naive.retain(|_, in_lane| *in_lane != lane);
                        queued[lane] = false;
                    }
                }
            }
        }
    }
}
