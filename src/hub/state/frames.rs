//! What subscribers of a topic share: the newest events, already in frames.
//!
//! Pure. The pump joins what came since its last round; a subscriber that is within a frame takes a slice of it. A frame
//! never outlives its events in the log.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{found, found::FoundEvent};

/// The newest frames.
#[derive(Debug)]
pub(crate) struct FrameCache {
    frames: VecDeque<Frame>,
    through: u64,
}

/// Events of one topic without any between them left out, as they stand on the wire.
#[derive(Debug, Clone)]
struct Frame {
    /// The topic has no event between this and the frame's first.
    after: u64,
    through: u64,
    bytes: Bytes,
    /// The sequence of each event, and where it begins.
    index: Arc<[(u64, u32)]>,
}

/// A piece of a frame.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) bytes: Bytes,
    pub(crate) events: u64,
    pub(crate) through: u64,
}

/// How many frames are kept: 32 KiB of a topic, unless its events are larger than a frame.
const FRAMES: usize = 4;

impl FrameCache {
    /// Nothing, up to here.
    pub(crate) fn new(through: u64) -> Self {
        Self { frames: VecDeque::new(), through }
    }

    /// What is above this is not joined yet.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    /// Adds a frame of all events since `after`. One that does not fit, for another was quicker, is not taken.
    pub(crate) fn push(&mut self, after: u64, frame: Option<EncodedFrame>) {
        let Some(EncodedFrame { through, bytes, index }) = frame else { return };
        if after != self.through {
            return;
        }
        self.through = through;
        self.frames.push_back(Frame { after, through, bytes, index });
        if self.frames.len() > FRAMES {
            self.frames.pop_front();
        }
    }

    /// What came up to here is not going to be joined: there was too much of it.
    pub(crate) fn skip(&mut self, through: u64) {
        self.through = through;
    }

    /// Everything up to here has gone from the log.
    pub(crate) fn evicted(&mut self, through: u64) {
        while self.frames.front().is_some_and(|frame| frame.through <= through) {
            self.frames.pop_front();
        }
    }

    /// What follows this cursor, if it is in a frame.
    pub(crate) fn after(&self, cursor: u64) -> Option<Slice> {
        let frame = self.frames.iter().rev().find(|frame| frame.after <= cursor)?;
        let first = frame.index.partition_point(|&(sequence, _)| sequence <= cursor);
        let &(_, start) = frame.index.get(first)?;
        let events = (frame.index.len() - first) as u64;
        Some(Slice { bytes: frame.bytes.slice(start as usize..), events, through: frame.through })
    }
}

/// A frame before it has its place.
#[derive(Debug)]
pub(crate) struct EncodedFrame {
    through: u64,
    bytes: Bytes,
    index: Arc<[(u64, u32)]>,
}

/// Encodes these events into a frame. Needs no lock.
pub(crate) fn encode(prefix: &[u8], events: &[FoundEvent]) -> Option<EncodedFrame> {
    let through = events.last()?.sequence;
    let mut index = Vec::with_capacity(events.len());
    let mut at = 0_u32;
    for event in events {
        index.push((event.sequence, at));
        at = at.checked_add(u32::try_from(event.encoded_len(prefix)).ok()?)?;
    }
    Some(EncodedFrame { through, bytes: found::encode(prefix, events), index: index.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// An event comes, so far ahead of the last.
        Come(u64),
        /// A pump joins what there is, in frames of so many.
        Join(usize),
        /// Two pumps find the same, and one is quicker.
        JoinTwice(usize, usize),
        Skip,
        /// The oldest goes.
        Evict,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1_u64..4).prop_map(Step::Come),
            2 => (1_usize..5).prop_map(Step::Join),
            1 => (1_usize..5, 1_usize..5).prop_map(|(one, other)| Step::JoinTwice(one, other)),
            1 => Just(Step::Skip),
            2 => Just(Step::Evict),
        ]
    }

    fn event(sequence: u64) -> FoundEvent {
        FoundEvent { sequence, event: Bytes::from(format!("data: {sequence}\n\n")), seat: 0 }
    }

    fn frame(joined: &FrameCache, kept: &[u64], count: usize) -> (u64, Option<EncodedFrame>) {
        let new = kept.iter().copied().filter(|&sequence| sequence > joined.through());
        let events: Vec<_> = new.take(count).map(event).collect();
        (joined.through(), encode(b"id: ", &events))
    }

    /// Whoever is not behind what is gone, gets all that follows it, in order, as far as the slice says.
    fn check(joined: &FrameCache, all: &[u64], gone: u64) {
        assert!(joined.frames.len() <= FRAMES);
        assert!(joined.frames.iter().all(|frame| frame.through > gone), "a frame outlives its events");
        for cursor in gone..=all.last().copied().unwrap_or(0) {
            let Some(slice) = joined.after(cursor) else { continue };
            let follow = all.iter().copied().filter(|&sequence| sequence > cursor && sequence <= slice.through);
            let follow: Vec<_> = follow.map(event).collect();
            assert_eq!(slice.bytes, found::encode(b"id: ", &follow), "after {cursor}");
            assert_eq!(slice.events, follow.len() as u64);
            assert_eq!(slice.through, follow[follow.len() - 1].sequence);
        }
    }

    proptest! {
        #[test]
        fn a_slice_is_what_follows_a_cursor_with_nothing_left_out(steps in prop::collection::vec(step(), 0..60)) {
            let (mut joined, mut all, mut oldest) = (FrameCache::new(0), Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Come(ahead) => all.push(all.last().copied().unwrap_or(0) + ahead),
                    Step::Join(count) => {
                        let (after, frame) = frame(&joined, &all[oldest..], count);
                        joined.push(after, frame);
                    }
                    Step::JoinTwice(one, other) => {
                        let frames = [one, other].map(|count| frame(&joined, &all[oldest..], count));
                        frames.into_iter().for_each(|(after, frame)| joined.push(after, frame));
                    }
                    Step::Skip => joined.skip(all.last().copied().unwrap_or(0)),
                    Step::Evict => {
                        oldest = all.len().min(oldest + 1);
                        joined.evicted(oldest.checked_sub(1).map_or(0, |last| all[last]));
                    }
                }
                check(&joined, &all, oldest.checked_sub(1).map_or(0, |last| all[last]));
            }
        }
    }
}
