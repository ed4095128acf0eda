//! The joining of ready events, or of frames of somebody else, into frames: many small ones share a frame, a large one
//! has its own, uncopied.
//!
//! Pure. What does not fit any more is held for the next frame.

use bytes::Bytes;

use super::source::FRAME_BYTES;
use crate::event::{Event, chunk::Chunk};

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
    /// Copies an event to those that share a frame, if there are some, and it fits.
    pub(crate) fn copy(&mut self, event: &Event) -> bool {
        let has_room = !self.buffer.is_empty() && self.buffer.len() + event.encoded_len() <= FRAME_BYTES;
        if has_room {
            event.encode_to(&mut self.buffer);
            self.events += 1;
        }
        has_room
    }

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
            // Its bytes are taken, not shared: to share them for the first time costs an allocation.
            Some(event) if event.id().is_none() => Some(Chunk { bytes: event.into_rest(), events }),
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

/// Frames of somebody else on their way into one.
#[derive(Debug, Default)]
pub(crate) struct Join {
    /// The first, as long as it is alone.
    alone: Bytes,
    /// Two or more.
    buffer: Vec<u8>,
}

impl Join {
    /// Returns whether so many bytes fit.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let held = self.alone.len() + self.buffer.len();
        held == 0 || held + bytes <= FRAME_BYTES
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.alone = bytes;
            return;
        }
        if !self.alone.is_empty() {
            self.buffer.reserve_exact(FRAME_BYTES);
            self.buffer.extend_from_slice(&std::mem::take(&mut self.alone));
        }
        self.buffer.extend_from_slice(&bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.buffer.is_empty()
    }

    /// Returns what is held, and nothing if nothing is.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.buffer.is_empty() { std::mem::take(&mut self.alone) } else { std::mem::take(&mut self.buffer).into() }
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

    /// The sizes of the frames that events of these sizes make, and how many are in each.
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
    fn an_event_that_is_alone_is_not_copied() {
        let event = event(100);
        let mut coalesce = Coalesce::default();
        assert!(!coalesce.push(event.clone()));
        let chunk = coalesce.take().expect("one event is a frame");
        assert_eq!(chunk.bytes.as_ptr(), event.encode().as_ptr());
    }
}
