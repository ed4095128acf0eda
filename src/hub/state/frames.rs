//! The frames that subscribers of a topic share: its newest events, encoded once.
//!
//! Pure. The pump encodes the events since its last round; a subscriber whose cursor is within a frame takes a slice of it.
//!
//! Invariant: a frame never outlives its events in the log.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{found, found::FoundEvent};

/// The newest frames of a topic.
#[derive(Debug)]
pub(crate) struct FrameCache {
    frames: VecDeque<Frame>,
    through: u64,
}

/// Consecutive events of one topic, encoded.
#[derive(Debug, Clone)]
struct Frame {
    /// The topic has no event between this and the frame's first.
    after: u64,
    through: u64,
    bytes: Bytes,
    /// The sequence of each event, and the offset at which it begins.
    index: Arc<[(u64, u32)]>,
}

/// The end of a frame, from an event on.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) bytes: Bytes,
    pub(crate) events: u64,
    pub(crate) through: u64,
}

/// The number of frames that are kept: 32 KiB of a topic, unless its events are larger than a frame.
const FRAMES: usize = 4;

impl FrameCache {
    /// Creates an empty cache, which continues after this sequence.
    pub(crate) fn new(through: u64) -> Self {
        Self { frames: VecDeque::new(), through }
    }

    /// Returns the sequence up to which events were encoded, or skipped.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    /// Adds a frame of all events since `after`. Ignores it if another pump was quicker.
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

    /// Skips the events up to this sequence, of which there were too many.
    pub(crate) fn skip(&mut self, through: u64) {
        self.through = through;
    }

    /// Removes the frames of events that were evicted from the log, up to this sequence.
    pub(crate) fn evict_through(&mut self, through: u64) {
        while self.frames.front().is_some_and(|frame| frame.through <= through) {
            self.frames.pop_front();
        }
    }

    /// Returns the events after this cursor, if a frame has them.
    pub(crate) fn after(&self, cursor: u64) -> Option<Slice> {
        let frame = self.frames.iter().rev().find(|frame| frame.after <= cursor)?;
        let first = frame.index.partition_point(|&(sequence, _)| sequence <= cursor);
        let &(_, start) = frame.index.get(first)?;
        let events = (frame.index.len() - first) as u64;
        Some(Slice { bytes: frame.bytes.slice(start as usize..), events, through: frame.through })
    }
}

/// A frame that is not in the cache yet.
#[derive(Debug)]
pub(crate) struct EncodedFrame {
    through: u64,
    bytes: Bytes,
    index: Arc<[(u64, u32)]>,
}

impl EncodedFrame {
    /// Returns the sequence of the last event.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }
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
        /// An event is published, so far ahead of the last.
        Publish(u64),
        /// A pump encodes a frame of so many events.
        Encode(usize),
        /// Two pumps encode the same events, and one is quicker.
        EncodeTwice(usize, usize),
        Skip,
        /// The oldest event is evicted.
        Evict,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1_u64..4).prop_map(Step::Publish),
            2 => (1_usize..5).prop_map(Step::Encode),
            1 => (1_usize..5, 1_usize..5).prop_map(|(one, other)| Step::EncodeTwice(one, other)),
            1 => Just(Step::Skip),
            2 => Just(Step::Evict),
        ]
    }

    fn event(sequence: u64) -> FoundEvent {
        FoundEvent { sequence, event: Bytes::from(format!("data: {sequence}\n\n")), topic_index: 0 }
    }

    fn frame(cache: &FrameCache, kept: &[u64], count: usize) -> (u64, Option<EncodedFrame>) {
        let new = kept.iter().copied().filter(|&sequence| sequence > cache.through());
        let events: Vec<_> = new.take(count).map(event).collect();
        (cache.through(), encode(b"id: ", &events))
    }

    /// Checks that a slice has all events after a cursor that is not behind an evicted event, up to the end of the slice.
    fn check(cache: &FrameCache, all: &[u64], evicted: u64) {
        assert!(cache.frames.len() <= FRAMES);
        assert!(cache.frames.iter().all(|frame| frame.through > evicted), "a frame outlives its events");
        for cursor in evicted..=all.last().copied().unwrap_or(0) {
            let Some(slice) = cache.after(cursor) else { continue };
            let follow = all.iter().copied().filter(|&sequence| sequence > cursor && sequence <= slice.through);
            let follow: Vec<_> = follow.map(event).collect();
            assert_eq!(slice.bytes, found::encode(b"id: ", &follow), "after {cursor}");
            assert_eq!(slice.events, follow.len() as u64);
            assert_eq!(slice.through, follow[follow.len() - 1].sequence);
        }
    }

    proptest! {
        #[test]
        fn a_slice_has_every_event_after_a_cursor(steps in prop::collection::vec(step(), 0..60)) {
            let (mut cache, mut all, mut oldest) = (FrameCache::new(0), Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Publish(ahead) => all.push(all.last().copied().unwrap_or(0) + ahead),
                    Step::Encode(count) => {
                        let (after, frame) = frame(&cache, &all[oldest..], count);
                        cache.push(after, frame);
                    }
                    Step::EncodeTwice(one, other) => {
                        let frames = [one, other].map(|count| frame(&cache, &all[oldest..], count));
                        frames.into_iter().for_each(|(after, frame)| cache.push(after, frame));
                    }
                    Step::Skip => cache.skip(all.last().copied().unwrap_or(0)),
                    Step::Evict => {
                        oldest = all.len().min(oldest + 1);
                        cache.evict_through(oldest.checked_sub(1).map_or(0, |last| all[last]));
                    }
                }
                check(&cache, &all, oldest.checked_sub(1).map_or(0, |last| all[last]));
            }
        }
    }
}
