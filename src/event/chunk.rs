//! Chunks of an event stream.

use bytes::Bytes;

/// Bytes of an event stream, and the number of events in them.
#[derive(Debug)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) events: u64,
}

impl Chunk {
    /// An empty chunk.
    pub(crate) const NONE: Self = Self { bytes: Bytes::new(), events: 0 };
}
