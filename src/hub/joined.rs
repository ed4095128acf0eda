//! What subscribers of a topic share: the newest events, already in frames.
//!
//! Pure. The pump joins what came since its last round; a subscriber that is within a frame takes a slice of it. A frame
//! never outlives its events in the log.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::picked::{self, Picked};

/// The newest frames.
#[derive(Debug)]
pub(crate) struct Joined {
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

/// How many frames are kept: 32 KiB of a topic.
const FRAMES: usize = 4;

impl Joined {
    /// Nothing, up to here.
    pub(crate) fn new(through: u64) -> Self {
        Self { frames: VecDeque::new(), through }
    }

    /// What is above this is not joined yet.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    /// Adds a frame of all events since `after`. One that does not fit, for another was quicker, is not taken.
    pub(crate) fn push(&mut self, after: u64, frame: Option<JoinedFrame>) {
        let Some(JoinedFrame { through, bytes, index }) = frame else { return };
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
pub(crate) struct JoinedFrame {
    through: u64,
    bytes: Bytes,
    index: Arc<[(u64, u32)]>,
}

/// Joins these events. Outside of any lock.
pub(crate) fn join(prefix: &[u8], events: &[Picked]) -> Option<JoinedFrame> {
    let through = events.last()?.sequence;
    let mut index = Vec::with_capacity(events.len());
    let mut at = 0_u32;
    for event in events {
        index.push((event.sequence, at));
        at = at.checked_add(u32::try_from(event.encoded_len(prefix)).ok()?)?;
    }
    Some(JoinedFrame { through, bytes: picked::encode(prefix, &[], events), index: index.into() })
}
