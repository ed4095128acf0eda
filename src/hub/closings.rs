//! The positions in the order of events at which a topic was closed and opened again.
//!
//! Pure. A span is known for as long as the event that ended it is kept, and beyond that for as long as there is room: so the
//! log bounds how many there are. A reader of keyed values alone is behind a span whose events went without it missing any.

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
    /// `true` if the topic was closed while it was closed, without an event.
    is_again: bool,
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
        let spans = (closed > 0).then_some(Span { closed, opened: OPEN_END, is_again: false });
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

    /// Closes the topic at a position, whose events up to `gone_through` are gone. A topic that is closed is closed once more,
    /// for the subscribers that came since.
    pub(crate) fn close(&mut self, at: u64, gone_through: u64) {
        let is_again = self.is_closed();
        self.open(at);
        self.times += 1;
        while self.spans.len() >= MAX_SPANS && self.forget_one(gone_through) {}
        self.spans.push_back(Span { closed: at, opened: OPEN_END, is_again });
    }

    /// Forgets the oldest span if the event that ended it is gone, or else makes one of two spans with nothing between them.
    /// Returns whether there was one to forget: all others end with an event that is kept.
    fn forget_one(&mut self, gone_through: u64) -> bool {
        if self.spans.front().is_some_and(|span| span.opened <= gone_through) {
            self.spans.pop_front();
            return true;
        }
        let again = self.spans.iter().skip(1).position(|span| span.is_again).map(|before| before + 1);
        let Some(span) = again.and_then(|again| self.spans.remove(again)) else { return false };
        if let Some(before) = again.and_then(|again| self.spans.get_mut(again - 1)) {
            before.opened = span.opened;
        }
        true
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
    // The spans of a topic are in order: of those that begin by a position, the last may reach beyond it.
    let last_by = |spans: &[Span], at: u64| spans[..spans.partition_point(|span| span.closed <= at)].last().copied();
    let is_end =
        |&at: &u64| topics.iter().all(|spans| last_by(spans, at).is_some_and(|span| span.opened > at.max(came)));
    begins.filter(is_end).min()
}

/// The end of a span of a topic that is closed now.
const OPEN_END: u64 = u64::MAX;

/// The most spans that are known beside those that ended with an event that is kept.
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
                        topics[topic].close(at, 0);
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
            closings.close(at, 0);
        }
        assert_eq!((closings.spans.len(), closings.times(), closings.last()), (MAX_SPANS, 999, 999));
        assert!(closings.is_within(0, 1), "the first end stays the first");
        closings.open(1000);
        assert!(!closings.is_closed());
    }

    /// Each is opened by an event, of which the log has this one and those behind it.
    #[test]
    fn spans_whose_events_are_kept_are_all_known() {
        let mut closings = Closings::default();
        for at in 1..1000 {
            closings.close(2 * at, 0);
            closings.open(2 * at + 1);
        }
        assert_eq!((closings.spans.len(), closings.is_within(0, 2)), (999, true));
        closings.close(3000, 1999);
        assert_eq!((closings.spans.len(), closings.last()), (MAX_SPANS, 3000));
    }
}
