//! The positions at which a topic was closed and opened again.
//!
//! Pure, and bounded: of a topic the last [`MAX_SPANS`] closings are known, and of those before them up to where the last was
//! over. A reader that may have been before one of these has missed it.

use std::collections::VecDeque;

/// The spans in which a topic was closed, in order.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    spans: VecDeque<Span>,
    /// The last span that is not known any more, or an empty one.
    forgotten: Span,
    /// The number of times that the topic was closed.
    times: u64,
}

/// A span of positions at which a topic was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    /// The first of them.
    closed: u64,
    /// The first behind them, or [`OPEN_END`].
    opened: u64,
}

/// The closings of a topic that a reader has not passed.
#[derive(Debug)]
pub(crate) struct Beyond {
    known: Vec<Span>,
    forgotten: Span,
}

/// The end that a reader comes to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All topics are closed at this position.
    At(u64),
    /// All topics may have been closed at this position or behind it, up to another: that is not known any more.
    Forgotten { at: u64, through: u64 },
}

impl End {
    /// Returns the position up to which the reader is given what there is.
    pub(crate) fn at(self) -> u64 {
        match self {
            Self::At(at) | Self::Forgotten { at, .. } => at,
        }
    }

    /// Returns the end at another position.
    pub(crate) fn moved_to(self, at: u64) -> Self {
        match self {
            Self::At(_) => Self::At(at),
            Self::Forgotten { through, .. } => Self::Forgotten { at, through },
        }
    }
}

impl Beyond {
    /// Returns whether the topic is closed at a position, and stays so until the reader came.
    fn is_closed(&self, at: u64, came: u64) -> bool {
        self.known.iter().any(|span| span.closed <= at && span.opened > at.max(came))
    }

    /// Returns whether it is not known any more if the topic was closed at a position, and stayed so until the reader came.
    fn is_forgotten(&self, at: u64, came: u64) -> bool {
        self.forgotten.opened > at.max(came)
    }
}

impl Closings {
    /// Returns those of a topic that has been closed since a position, or was never closed if that is 0.
    pub(crate) fn since(closed: u64) -> Self {
        let spans = (closed > 0).then_some(Span { closed, opened: OPEN_END });
        Self { spans: spans.into_iter().collect(), ..Self::default() }
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
        self.close_of(at, MAX_SPANS);
    }

    /// Closes the topic at a position, with at most so many spans that are known.
    fn close_of(&mut self, at: u64, known: usize) {
        self.open(at);
        self.times += 1;
        if self.spans.len() >= known {
            self.forgotten = self.spans.pop_front().unwrap_or_default();
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
        self.forgotten = Span::default();
    }

    /// Returns the spans that reach beyond a position.
    pub(crate) fn beyond(&self, position: u64) -> Beyond {
        let known = self.spans.iter().copied().filter(|span| span.opened > position);
        Beyond { known: known.collect(), forgotten: self.forgotten }
    }
}

/// Returns the first position above `after`, up to `through`, at which all of these topics are closed, if they are not open
/// again by `came`. Each topic gives the spans that reach beyond `after`.
pub(crate) fn first_end(topics: &[Beyond], after: u64, through: u64, came: u64) -> Option<End> {
    let known = topics.iter().flat_map(|topic| &topic.known).map(|span| span.closed);
    // A topic may have been closed at any position up to where it was last of those that are forgotten.
    let next = topics.iter().map(|topic| topic.forgotten.closed.min(after.saturating_add(1)));
    let may_end = |at: &u64| topics.iter().all(|topic| topic.is_closed(*at, came) || topic.is_forgotten(*at, came));
    let at = known.chain(next).filter(|&at| at > after && at <= through).filter(may_end).min()?;
    let forgotten = topics.iter().filter(|topic| topic.is_forgotten(at, came)).map(|topic| topic.forgotten.opened - 1);
    Some(forgotten.max().map_or(End::At(at), |through| End::Forgotten { at, through }))
}

/// The end of a span of a topic that is closed now.
const OPEN_END: u64 = u64::MAX;

/// The most spans of a topic that are known.
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
            let (topics, naive) = taken(&steps, count, MAX_SPANS);
            let head = naive.len() as u64 - 1;
            for (topic, closings) in topics.iter().enumerate() {
                assert_eq!(closings.is_closed(), naive[head as usize].0[topic]);
            }
            for after in 0..=head {
                let spans: Vec<_> = topics.iter().map(|topic| topic.beyond(after)).collect();
                for came in 0..=head {
                    let first = naive_end(&steps, &naive, after, came, count);
                    assert_eq!(first_end(&spans, after, head, came), first.map(End::At), "after {after}, came at {came}");
                }
            }
        }

        /// However few closings are known, no end is passed.
        #[test]
        fn an_end_is_found_or_within_what_is_forgotten(
            steps in prop::collection::vec(step(), 0..30),
            count in 1_usize..4,
            known in 1_usize..4,
        ) {
            let (topics, naive) = taken(&steps, count, known);
            let head = naive.len() as u64 - 1;
            for after in 0..=head {
                let spans: Vec<_> = topics.iter().map(|topic| topic.beyond(after)).collect();
                for came in 0..=head {
                    let first = naive_end(&steps, &naive, after, came, count);
                    match first_end(&spans, after, head, came) {
                        Some(End::Forgotten { at, through }) => {
                            assert!(at > after && through >= at && first.is_none_or(|first| first >= at));
                            // The reader goes on behind `at`, and what was over up to `through` is none to it.
                            let (next, came) = (first_end(&spans, at, head, through + 1), came.max(through + 1));
                            assert_eq!(next, naive_end(&steps, &naive, at, came, count).map(End::At));
                        }
                        found => assert_eq!(found, first.map(End::At), "after {after}, came at {came}"),
                    }
                }
            }
        }
    }

    /// For each position the topics that are closed there, and whether one became so.
    type Naive = Vec<(Vec<bool>, bool)>;

    fn taken(steps: &[Step], count: usize, known: usize) -> (Vec<Closings>, Naive) {
        let mut topics: Vec<_> = (0..count).map(|_| Closings::default()).collect();
        let mut naive = vec![(vec![false; count], false)];
        for (step, at) in steps.iter().zip(1..) {
            let (mut closed, mut closes) = (naive[naive.len() - 1].0.clone(), false);
            match *step {
                Step::Close(topic) if topic < count => {
                    topics[topic].close_of(at, known);
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
        (topics, naive)
    }

    fn naive_end(steps: &[Step], naive: &Naive, after: u64, came: u64, count: usize) -> Option<u64> {
        let all = |at: u64| naive[at as usize].0.iter().all(|&closed| closed);
        let stays = |at: u64| (at..=at.max(came)).all(|at| all(at) && !reopens(steps, at, came, count));
        (after + 1..naive.len() as u64).find(|&at| naive[at as usize].1 && stays(at))
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
        let first = first_end(&[closings.beyond(0)], 0, 999, 0);
        assert_eq!(
            first,
            Some(End::Forgotten { at: 1, through: 935 }),
            "the last of those that are forgotten was over at 936"
        );
        closings.open(1000);
        assert!(!closings.is_closed());
        closings.renew();
        assert_eq!(first_end(&[closings.beyond(0)], 0, 1000, 0), None);
    }
}
