//! Provides the coalescing of ready events, or of an upstream's frames, into frames: small ones share a frame, a large one has
//! its own, uncopied.
//!
//! Pure. An event that does not fit is held for the next frame.

use bytes::Bytes;

use super::source::FRAME_BYTES;
use crate::event::{Event, chunk::Chunk};

/// A frame of events that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Coalesce {
    /// The first event, while it is the only one.
    first: Option<Event>,
    /// Two or more events.
    buffer: Vec<u8>,
    events: u64,
    /// An event that did not fit.
    overflow: Option<Event>,
}

impl Coalesce {
    /// Copies an event into a frame that is shared already, if it fits. Returns whether it was copied.
    pub(crate) fn copy(&mut self, event: &Event) -> bool {
        let has_room = !self.buffer.is_empty() && self.buffer.len() + event.encoded_len() <= FRAME_BYTES;
        if has_room {
            event.encode_to(&mut self.buffer);
            self.events += 1;
        }
        has_room
    }

    /// Adds an event. Returns `true` if the frame is full: [`take`](Self::take) it before the next event.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        let len = event.encoded_len();
        if self.events == 0 {
            self.events = 1;
            self.first = Some(event);
            return len >= FRAME_BYTES;
        }
        let held = self.first.as_ref().map_or(self.buffer.len(), Event::encoded_len);
        if held + len > FRAME_BYTES {
            self.overflow = Some(event);
            return true;
        }
        if let Some(first) = self.first.take() {
            self.buffer.reserve_exact(FRAME_BYTES);
            first.encode_to(&mut self.buffer);
        }
        event.encode_to(&mut self.buffer);
        self.events += 1;
        false
    }

    /// Returns the frame, or `None` if it is empty.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let events = std::mem::take(&mut self.events);
        let chunk = match self.first.take() {
            // Its bytes are moved: the first clone of `Bytes` costs an allocation.
            Some(event) if event.id().is_none() => Some(Chunk { bytes: event.into_rest(), events }),
            Some(event) => Some(Chunk { bytes: event.to_bytes(), events }),
            None if events > 0 => Some(Chunk { bytes: Bytes::from(std::mem::take(&mut self.buffer)), events }),
            None => None,
        };
        if let Some(event) = self.overflow.take() {
            self.push(event);
        }
        chunk
    }

    /// Returns whether the event that is held fills a frame.
    pub(crate) fn is_full(&self) -> bool {
        self.first.as_ref().is_some_and(|event| event.encoded_len() >= FRAME_BYTES)
    }
}

/// A frame of an upstream's frames that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Join {
    /// The first frame, while it is the only one.
    first: Bytes,
    /// Two or more frames.
    buffer: Vec<u8>,
}

impl Join {
    /// Returns whether this number of bytes fits.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let held = self.first.len() + self.buffer.len();
        held == 0 || held + bytes <= FRAME_BYTES
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.first = bytes;
            return;
        }
        if !self.first.is_empty() {
            self.buffer.reserve_exact(FRAME_BYTES);
            self.buffer.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.buffer.extend_from_slice(&bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.buffer.is_empty()
    }

    /// Returns the frame, which may be empty.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.buffer.is_empty() { std::mem::take(&mut self.first) } else { std::mem::take(&mut self.buffer).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: usize) -> Event {
        let event = Event::new("x".repeat(bytes - "data: \n\n".len()));
        assert_eq!(event.encoded_len(), bytes);
        event
    }

    /// Returns the size of each frame of events of these sizes, and the number of events in it.
    fn frames(sizes: &[usize]) -> Vec<(usize, u64)> {
        let mut coalesce = Coalesce::default();
        let mut frames = Vec::new();
        for &size in sizes {
            while coalesce.is_full() {
                frames.extend(coalesce.take());
            }
            if coalesce.push(event(size)) {
                frames.extend(coalesce.take());
            }
        }
        while let Some(chunk) = coalesce.take() {
            frames.push(chunk);
        }
        frames.iter().map(|chunk| (chunk.bytes.len(), chunk.events)).collect()
    }

    #[test]
    fn small_events_share_a_frame_up_to_the_limit() {
        assert_eq!(frames(&[]), []);
        assert_eq!(frames(&[100]), [(100, 1)]);
        assert_eq!(frames(&[100, 50]), [(150, 2)]);
        assert_eq!(frames(&[FRAME_BYTES / 2; 2]), [(FRAME_BYTES, 2)]);
        assert_eq!(frames(&[FRAME_BYTES / 2 + 1; 2]), [(FRAME_BYTES / 2 + 1, 1); 2]);
    }

    #[test]
    fn a_large_event_keeps_its_place_and_its_own_frame() {
        let large = FRAME_BYTES + 1;
        assert_eq!(frames(&[10, 10, large, 10]), [(20, 2), (large, 1), (10, 1)]);
        assert_eq!(frames(&[large, large, 10]), [(large, 1), (large, 1), (10, 1)]);
    }

    #[test]
    fn a_single_event_is_not_copied() {
        let event = event(100);
        let mut coalesce = Coalesce::default();
        assert!(!coalesce.push(event.clone()));
        let chunk = coalesce.take().expect("one event is a frame");
        assert_eq!(chunk.bytes.as_ptr(), event.to_bytes().as_ptr());
    }
}
