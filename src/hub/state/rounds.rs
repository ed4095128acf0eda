//! The rounds in which the subscribers of a topic are woken, and the time for which a topic lingers between them.
//!
//! Pure, under the topic's lock. There is one [`Rounds`] for each wake queue in which subscribers wait. With news, the topic
//! takes a turn in the queue; when the turn comes, the pump begins a round. A topic that lingers is held by the pump if its
//! last round was too recent, so at most one round begins within its linger. The round is due early once a frame is full, half
//! of what the topic retains is unread, or a publisher says so.

use super::log::Entry;
use crate::{
    body::source::FRAME_BYTES,
    hub::{retention::Retention, settings::Linger},
};

/// The rounds of a topic in one queue.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    turn: Turn,
    /// The time at which the last round began, or 0 if the topic did not linger then.
    last_at: u64,
    /// The events that were published since the last round began.
    gathered: Gathered,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    #[default]
    None,
    /// The topic is in the queue.
    Queued,
    /// The topic is in the queue, and is not to be held.
    Due {
        /// The time until which the pump was to hold it, or 0.
        held_until: u64,
    },
    /// The pump holds the topic until this time.
    Held { until: u64 },
}

/// The outcome of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundStart {
    /// The round begins. The pump does not hold the topic any more until `held_until`, if that is not 0.
    Now { held_until: u64 },
    /// The pump has to hold the topic until this time.
    Hold { until: u64 },
}

/// A number of events and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gathered {
    events: usize,
    bytes: usize,
}

/// The news of a topic that its queues have to learn of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    added: Gathered,
    /// The amount that may be gathered before the round is due.
    limit: Gathered,
}

impl Gathered {
    /// Adds an event.
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.events += 1;
        self.bytes += entry.event.len() + ID_BYTES;
    }
}

impl News {
    /// News for which no topic lingers: its rounds are due.
    pub(crate) const DUE: Self =
        Self { added: Gathered { events: 0, bytes: 0 }, limit: Gathered { events: 0, bytes: 0 } };

    /// Returns the news of events that were published within these bounds.
    pub(crate) fn of(added: Gathered, bounds: &Retention) -> Self {
        let limit = Gathered { events: bounds.events / 2, bytes: FRAME_BYTES.min(bounds.bytes / 2) };
        Self { added, limit }
    }
}

impl Rounds {
    /// Records news of a topic that does not linger. Returns whether the topic has to be added to the queue.
    #[inline]
    pub(super) fn mark(&mut self) -> bool {
        let is_new = self.turn == Turn::None;
        if is_new {
            self.turn = Turn::Queued;
        }
        is_new
    }

    /// Records news of a topic that lingers. Returns whether the topic has to be added to the queue.
    pub(super) fn record(&mut self, news: &News) -> bool {
        self.gathered.events = self.gathered.events.saturating_add(news.added.events);
        self.gathered.bytes = self.gathered.bytes.saturating_add(news.added.bytes);
        let is_due = self.gathered.events >= news.limit.events || self.gathered.bytes >= news.limit.bytes;
        let (is_new, held_until) = match self.turn {
            Turn::None => (true, 0),
            Turn::Queued => (false, 0),
            Turn::Held { until } if is_due => (true, until),
            Turn::Held { .. } | Turn::Due { .. } => return false,
        };
        self.turn = if is_due { Turn::Due { held_until } } else { Turn::Queued };
        is_new
    }

    /// Makes a round due that has not begun. Returns whether the topic has to be added to the queue.
    pub(super) fn release(&mut self) -> bool {
        match self.turn {
            Turn::Queued => self.turn = Turn::Due { held_until: 0 },
            Turn::Held { until } => {
                self.turn = Turn::Due { held_until: until };
                return true;
            }
            Turn::None | Turn::Due { .. } => {}
        }
        false
    }

    /// Begins a round as the turn comes, unless the topic has to be held. `now` is called only if it lingers.
    #[inline]
    pub(super) fn begin(&mut self, linger: Linger, now: impl FnOnce() -> u64) -> RoundStart {
        let held_until = match self.turn {
            Turn::Due { held_until } => held_until,
            _ => 0,
        };
        if linger == Linger::default() {
            self.last_at = 0;
            return RoundStart::Now { held_until };
        }
        let now = now();
        let until = self.last_at + linger.0;
        if self.turn == Turn::Queued && now < until {
            self.turn = Turn::Held { until };
            return RoundStart::Hold { until };
        }
        self.begin_at(now);
        RoundStart::Now { held_until }
    }

    /// Begins a round as the time is over until which the topic was held. Returns `false` if it is not held until then any
    /// more.
    pub(super) fn expire(&mut self, until: u64, now: u64) -> bool {
        if self.turn != (Turn::Held { until }) {
            return false;
        }
        self.turn = Turn::Queued;
        self.begin_at(now);
        true
    }

    /// Ends a turn, as the wakers are taken.
    #[inline]
    pub(super) fn end_turn(&mut self) {
        self.turn = Turn::None;
    }

    fn begin_at(&mut self, now: u64) {
        self.gathered = Gathered::default();
        self.last_at = now;
    }
}

/// About the bytes of an id, with its line.
const ID_BYTES: usize = 32;

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// Events of this size are published.
        Publish {
            events: usize,
            bytes: usize,
        },
        /// The topic is closed.
        Close,
        /// A publisher waits for readers.
        Release,
        /// Milliseconds pass. The pump is told when a time is over until which it holds the topic.
        Pass(u64),
        /// The pump takes the topic out of the queue, if it is there.
        Turn,
        SetLinger(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1_usize..4, 0_usize..3000).prop_map(|(events, bytes)| Step::Publish { events, bytes }),
            1 => Just(Step::Close),
            1 => Just(Step::Release),
            4 => (0_u64..4).prop_map(Step::Pass),
            6 => Just(Step::Turn),
            1 => (0_u64..8).prop_map(Step::SetLinger),
        ]
    }

    /// A topic whose subscribers always wait, and its pump.
    struct Naive {
        rounds: Rounds,
        linger: Linger,
        now: u64,
        /// The time of the last round, and the linger then.
        last: Option<(u64, u64)>,
        queued: usize,
        held: Option<u64>,
        /// When the oldest unread event was published.
        unread_since: Option<u64>,
        unread: (usize, usize),
        is_due: bool,
    }

    const BOUNDS: (usize, usize) = (10, 8000);

    impl Naive {
        fn record(&mut self, news: &News) {
            self.queued += usize::from(self.rounds.record(news));
        }

        fn take(&mut self, step: &Step) {
            match *step {
                Step::Publish { events, bytes } => {
                    let entry = Entry { sequence: 1, at: 0, key: None, event: vec![b'x'; bytes].into() };
                    let (mut added, bounds) = (Gathered::default(), Retention::new().events(BOUNDS.0).bytes(BOUNDS.1));
                    (0..events).for_each(|_| added.add(&entry));
                    self.unread_since.get_or_insert(self.now);
                    self.unread = (self.unread.0 + events, self.unread.1 + events * (bytes + ID_BYTES));
                    self.is_due |= self.unread.0 >= BOUNDS.0 / 2 || self.unread.1 >= BOUNDS.1 / 2;
                    match self.linger.0 {
                        0 => self.queued += usize::from(self.rounds.mark()),
                        _ => self.record(&News::of(added, &bounds)),
                    }
                }
                Step::Close => {
                    self.unread_since.get_or_insert(self.now);
                    self.is_due = true;
                    self.record(&News::DUE);
                }
                Step::Release => self.release(),
                Step::Pass(time) => (0..time).for_each(|_| self.pass()),
                Step::Turn => self.turn(),
                Step::SetLinger(linger) => {
                    self.linger = Linger(linger);
                    self.release();
                }
            }
        }

        fn release(&mut self) {
            self.is_due |= self.unread_since.is_some();
            self.queued += usize::from(self.rounds.release());
        }

        /// A millisecond passes.
        fn pass(&mut self) {
            self.now += 1;
            let Some(until) = self.held.take_if(|until| *until == self.now) else { return };
            assert!(self.rounds.expire(until, self.now) || self.queued > 0);
            if self.queued == 0 {
                self.round();
            }
        }

        fn turn(&mut self) {
            if self.queued == 0 {
                return;
            }
            self.queued -= 1;
            match self.rounds.begin(self.linger, || self.now) {
                RoundStart::Now { held_until } => {
                    assert_eq!(Some(held_until).filter(|&until| until > self.now), self.held, "the pump releases it");
                    self.held = None;
                    self.round();
                }
                RoundStart::Hold { until } => {
                    assert!(!self.is_due && self.held.is_none() && self.linger.0 > 0);
                    let (last, _) = self.last.expect("the first round begins at once");
                    assert!(self.now < until && until <= last + self.linger.0, "the linger counts from the last round");
                    self.held = Some(until);
                }
            }
        }

        fn round(&mut self) {
            assert!(self.unread_since.is_some(), "a round has a reason");
            if let Some((last, linger)) = self.last.filter(|_| !self.is_due) {
                assert!(self.now >= last + linger.min(self.linger.0), "one round within the linger");
            }
            self.rounds.end_turn();
            self.last = Some((self.now, self.linger.0));
            (self.unread_since, self.unread, self.is_due) = (None, (0, 0), false);
        }

        fn check(&self) {
            assert!(self.queued <= 1, "the topic is in the queue once");
            let is_on_its_way = self.queued == 1 || self.held.is_some();
            assert_eq!(is_on_its_way, self.unread_since.is_some() || self.held.is_some(), "no news is lost");
            if let Some(since) = self.unread_since.filter(|_| self.queued == 0) {
                assert!(self.now <= since + self.linger.0, "an event is not held longer than the linger");
                assert!(!self.is_due, "what is due is not held");
            }
        }
    }

    proptest! {
        #[test]
        fn news_lead_to_one_round_within_the_linger(steps in prop::collection::vec(step(), 0..80), linger in 0_u64..8) {
            let mut naive = Naive {
                rounds: Rounds::default(),
                linger: Linger(linger),
                now: 1000,
                last: None,
                queued: 0,
                held: None,
                unread_since: None,
                unread: (0, 0),
                is_due: false,
            };
            for step in steps {
                naive.take(&step);
                naive.check();
            }
        }
    }

    #[test]
    fn linger_is_rounded_up_to_milliseconds() {
        let linger = |nanos| Linger::from(std::time::Duration::from_nanos(nanos)).0;
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(linger), [0, 1, 1, 2]);
        let day = 24 * 60 * 60 * 1000;
        assert_eq!(Linger::from(std::time::Duration::MAX).0, day);
    }
}
