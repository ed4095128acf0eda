//! The positions at which a topic was closed and opened again.
//!
//! Pure. A topic is opened by an event, so the log bounds how many spans there are: a span goes with the event that ended it.

use std::collections::VecDeque;

/// The spans in which a topic was closed, in order.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    spans: VecDeque<Span>,
    /// The number of times that the topic was closed.
    times: u64,
}

/// A span of positions at which a topic was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first of them.
    closed: u64,
    /// The first behind them, or [`OPEN_END`].
    opened: u64,
}

impl Span {
    /// Returns whether it begins between two positions.
    fn is_within(self, after: u64, through: u64) -> bool {
        self.closed > after && self.closed <= through
    }
}

impl Closings {
    /// Returns those of a topic that has been closed since a position, or was never closed if that is 0.
    pub(crate) fn since(closed: u64) -> Self {
        let spans = (closed > 0).then_some(Span { closed, opened: OPEN_END });
        Self { spans: spans.into_iter().collect(), times: 0 }
    }

    /// Returns how often the topic was closed.
    pub(crate) fn times(&self) -> u64 {
        self.times
    }

    /// Returns the position at which the topic was closed last, or 0.
    pub(crate) fn last(&self) -> u64 {
        self.spans.back().map_or(0, |span| span.closed)
    }

    /// Returns the position since which the topic is closed, or 0 if it is open.
    pub(crate) fn closed_since(&self) -> u64 {
        self.spans.back().filter(|span| span.opened == OPEN_END).map_or(0, |span| span.closed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed_since() > 0
    }

    /// Closes the topic at a position. A topic that is closed is closed once more, for the subscribers that came since.
    pub(crate) fn close(&mut self, at: u64) {
        self.open(at);
        self.times += 1;
        if self.spans.len() >= MAX_SPANS {
            self.spans.pop_front();
        }
        self.spans.push_back(Span { closed: at, opened: OPEN_END });
    }

    /// Opens the topic at a position, if it is closed.
    pub(crate) fn open(&mut self, at: u64) {
        if let Some(last) = self.spans.back_mut().filter(|span| span.opened == OPEN_END) {
            last.opened = at;
        }
    }

    /// Forgets the spans: positions are of another history.
    pub(crate) fn renew(&mut self) {
        self.spans.clear();
    }

    /// Forgets the spans that no reader can be within any more: the events up to this are gone.
    pub(crate) fn evicted(&mut self, through: u64) {
        while self.spans.front().is_some_and(|span| span.opened <= through) {
            self.spans.pop_front();
        }
    }

    /// Returns whether the topic was closed between two positions.
    pub(crate) fn is_within(&self, after: u64, through: u64) -> bool {
        self.spans.iter().any(|span| span.is_within(after, through))
    }

    /// Returns the spans that reach beyond a position.
    pub(crate) fn beyond(&self, position: u64) -> impl Iterator<Item = Span> {
        self.spans.iter().copied().filter(move |span| span.opened > position)
    }
}

/// Returns the first position above `after`, up to `through`, at which all of these topics are closed, if they are not open
/// again by `came`. Each topic gives the spans that reach beyond `after`.
pub(crate) fn first_end(topics: &[Vec<Span>], after: u64, through: u64, came: u64) -> Option<u64> {
    let begins = topics.iter().flatten().filter(|span| span.is_within(after, through)).map(|span| span.closed);
    let is_end =
        |&at: &u64| topics.iter().all(|spans| spans.iter().any(|span| span.closed <= at && span.opened > at.max(came)));
    begins.filter(is_end).min()
}

/// The end of a span of a topic that is closed now.
const OPEN_END: u64 = u64::MAX;

/// The most spans that are known: one that is closed again and again without an event adds one each time.
const MAX_SPANS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Close(usize),
        Open(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![(0_usize..3).prop_map(Step::Close), (0_usize..3).prop_map(Step::Open)]
    }

    proptest! {
        #[test]
        fn the_first_end_is_where_all_topics_become_closed(
            steps in prop::collection::vec(step(), 0..30),
            count in 1_usize..4,
        ) {
            let mut topics: Vec<_> = (0..count).map(|_| Closings::default()).collect();
            // For each position the topics that are closed there, and whether one became so.
            let mut naive = vec![(vec![false; count], false)];
            for (step, at) in steps.iter().zip(1..) {
                let (mut closed, mut closes) = (naive[naive.len() - 1].0.clone(), false);
                match *step {
                    Step::Close(topic) if topic < count => {
                        topics[topic].close(at);
                        (closed[topic], closes) = (true, true);
                    }
                    Step::Open(topic) if topic < count => {
                        topics[topic].open(at);
                        closed[topic] = false;
                    }
                    Step::Close(_) | Step::Open(_) => {}
                }
                naive.push((closed, closes));
            }
            let head = naive.len() as u64 - 1;
            let all = |at: u64| naive[at as usize].0.iter().all(|&closed| closed);
            for (topic, closings) in topics.iter().enumerate() {
                assert_eq!(closings.is_closed(), naive[head as usize].0[topic]);
            }
            for after in 0..=head {
                let spans: Vec<Vec<_>> = topics.iter().map(|topic| topic.beyond(after).collect()).collect();
                for came in 0..=head {
                    let stays = |at: u64| (at..=at.max(came)).all(|at| all(at) && !reopens(&steps, at, came, count));
                    let first = (after + 1..=head).find(|&at| naive[at as usize].1 && stays(at));
                    assert_eq!(first_end(&spans, after, head, came), first, "after {after}, came at {came}");
                }
            }
        }
    }

    /// A topic that is closed again while it is closed ends the span before.
    fn reopens(steps: &[Step], at: u64, came: u64, count: usize) -> bool {
        let until = came.max(at) as usize;
        steps[at as usize..until].iter().any(|step| matches!(*step, Step::Close(topic) if topic < count))
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut closings = Closings::default();
        for at in 1..1000 {
            closings.close(at);
        }
        assert_eq!((closings.spans.len(), closings.times(), closings.last()), (MAX_SPANS, 999, 999));
        closings.open(1000);
        assert!(!closings.is_closed());
        closings.evicted(1000);
        assert_eq!((closings.spans.len(), closings.last()), (0, 0));
    }
}
