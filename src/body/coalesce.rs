//! How ready events become frames: many small ones share a frame, a large one has its own, uncopied.
//!
//! Pure. What does not fit any more is held for the next frame.

use bytes::Bytes;

use crate::{
    Event,
    body::source::{Chunk, FRAME_BYTES},
};

/// Events on their way into a frame.
#[derive(Debug, Default)]
pub(crate) struct Coalesce {
    /// The first event, as long as it is alone.
    alone: Option<Event>,
    /// Two events or more.
    buffer: Vec<u8>,
    events: u64,
    /// One that did not fit.
    over: Option<Event>,
}

impl Coalesce {
    /// Takes an event. `true`: the frame is full, [`take`](Self::take) it before the next.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        let len = event.encoded_len();
        if self.events == 0 {
            self.events = 1;
            self.alone = Some(event);
            return len >= FRAME_BYTES;
        }
        let held = self.alone.as_ref().map_or(self.buffer.len(), Event::encoded_len);
        if held + len > FRAME_BYTES {
            self.over = Some(event);
            return true;
        }
        if let Some(first) = self.alone.take() {
            self.buffer.reserve_exact(FRAME_BYTES);
            first.encode_to(&mut self.buffer);
        }
        event.encode_to(&mut self.buffer);
        self.events += 1;
        false
    }

    /// The frame, if there is anything in it.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let events = std::mem::take(&mut self.events);
        let chunk = match self.alone.take() {
            Some(event) => Some(Chunk { bytes: event.encode(), events }),
            None if events > 0 => Some(Chunk { bytes: Bytes::from(std::mem::take(&mut self.buffer)), events }),
            None => None,
        };
        if let Some(event) = self.over.take() {
            self.push(event);
        }
        chunk
    }

    /// Whether what is held is a frame already.
    pub(crate) fn is_full(&self) -> bool {
        self.alone.as_ref().is_some_and(|event| event.encoded_len() >= FRAME_BYTES)
    }
}
