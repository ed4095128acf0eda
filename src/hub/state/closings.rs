//! The positions at which a topic was closed and opened again.
//!
//! Pure, and bounded: the last [`MAX_SPANS`] closings of a topic are known, and of those before them the position at which the
//! last one was over. A reader whose cursor may be before one of these has missed it.

use std::collections::VecDeque;

/// The spans in which a topic was closed, in order.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    spans: VecDeque<Span>,
    /// The last span that was forgotten, or an empty one.
    forgotten: Span,
    /// The number of closings.
    times: u64,
}

/// A span of positions at which a topic was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    /// The first position of the span.
    closed: u64,
    /// The first position after the span, or [`OPEN_END`].
    opened: u64,
}

/// The closings of a topic beyond a reader's cursor.
#[derive(Debug)]
pub(crate) struct Beyond {
    known: Vec<Span>,
    forgotten: Span,
}

/// The first position at which a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All topics are closed at this position.
    At(u64),
    /// All topics may have been closed at a position from `at` through another: the closings were forgotten.
    Forgotten { at: u64, through: u64 },
}

impl End {
    /// Returns the position up to which the reader gets events.
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
    /// Returns whether the topic is closed at a position, and was not opened again before the reader came.
    fn is_closed(&self, at: u64, came: u64) -> bool {
        self.known.iter().any(|span| span.closed <= at && span.opened > at.max(came))
    }

    /// Returns whether it was forgotten if the topic was closed at a position, and not opened again before the reader came.
    fn is_forgotten(&self, at: u64, came: u64) -> bool {
        self.forgotten.opened > at.max(came)
    }
}

impl Closings {
    /// Creates the closings of a topic that has been closed since a position, or was never closed if that is 0.
    pub(crate) fn since(closed: u64) -> Self {
        let spans = (closed > 0).then_some(Span { closed, opened: OPEN_END });
        Self { spans: spans.into_iter().collect(), ..Self::default() }
    }

    /// Returns the number of closings.
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

    /// Closes the topic at a position. A closed topic is closed once more, for the subscribers that came since.
    pub(crate) fn close(&mut self, at: u64) {
        self.close_of(at, MAX_SPANS);
    }

    /// Closes the topic at a position, and keeps at most so many spans.
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

    /// Forgets the spans, as another epoch begins.
    pub(crate) fn begin_epoch(&mut self) {
        self.spans.clear();
        self.forgotten = Span::default();
    }

    /// Returns the closings beyond a position.
    pub(crate) fn beyond(&self, position: u64) -> Beyond {
        let known = self.spans.iter().copied().filter(|span| span.opened > position);
        Beyond { known: known.collect(), forgotten: self.forgotten }
    }
}

/// Returns the first position above `after`, up to `through`, at which all of these topics are closed, if they are not open
/// again by `came`. Takes the closings of each topic beyond `after`.
pub(crate) fn first_end(topics: &[Beyond], after: u64, through: u64, came: u64) -> Option<End> {
    let known = topics.iter().flat_map(|topic| &topic.known).map(|span| span.closed);
    // A topic may have been closed at any position up to its last forgotten closing.
    let next = topics.iter().map(|topic| topic.forgotten.closed.min(after.saturating_add(1)));
    let may_end = |at: &u64| topics.iter().all(|topic| topic.is_closed(*at, came) || topic.is_forgotten(*at, came));
    let at = known.chain(next).filter(|&at| at > after && at <= through).filter(may_end).min()?;
    let forgotten = topics.iter().filter(|topic| topic.is_forgotten(at, came)).map(|topic| topic.forgotten.opened - 1);
    Some(forgotten.max().map_or(End::At(at), |through| End::Forgotten { at, through }))
}

/// The end of the span of a topic that is still closed.
const OPEN_END: u64 = u64::MAX;

/// The number of spans that are kept.
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

        /// No end is skipped, however few closings are known.
        #[test]
        fn an_end_is_found_or_within_the_forgotten_spans(
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
                            // The reader goes on after `at`, and ignores closings that were over by `through`.
                            let (next, came) = (first_end(&spans, at, head, through + 1), came.max(through + 1));
                            assert_eq!(next, naive_end(&steps, &naive, at, came, count).map(End::At));
                        }
                        found => assert_eq!(found, first.map(End::At), "after {after}, came at {came}"),
                    }
                }
            }
        }
    }

    /// For each position, the topics that are closed there, and whether one of them was closed there.
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

    /// Returns whether a topic is closed again while it is closed, which ends the span before.
    fn reopens(steps: &[Step], at: u64, came: u64, count: usize) -> bool {
        let until = came.max(at) as usize;
        steps[at as usize..until].iter().any(|step| matches!(*step, Step::Close(topic) if topic < count))
    }

    #[test]
    fn the_known_spans_are_bounded() {
        let mut closings = Closings::default();
        for at in 1..1000 {
            closings.close(at);
        }
        assert_eq!((closings.spans.len(), closings.times(), closings.last()), (MAX_SPANS, 999, 999));
        let first = first_end(&[closings.beyond(0)], 0, 999, 0);
        assert_eq!(first, Some(End::Forgotten { at: 1, through: 935 }), "the last forgotten closing was over at 936");
        closings.open(1000);
        assert!(!closings.is_closed());
        closings.begin_epoch();
        assert_eq!(first_end(&[closings.beyond(0)], 0, 1000, 0), None);
    }
}
