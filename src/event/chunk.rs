//! A piece of a stream: bytes, and the number of events that they hold.

use bytes::Bytes;

/// Bytes, and how many events they hold.
#[derive(Debug)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) events: u64,
}

impl Chunk {
    /// No bytes.
    pub(crate) const NONE: Self = Self { bytes: Bytes::new(), events: 0 };
}
