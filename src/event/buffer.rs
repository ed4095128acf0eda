//! Where JSON is written before its length is known.
//!
//! An event is kept as long as a log has it, so what it stands in should be as large as it is; and a buffer that grows is
//! several allocations. So each thread has one that is written into again and again, and what came out is copied.

use std::cell::Cell;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty buffer. It is nobody else's until it is [left](leave): a value that makes an event while it is serialized gets
/// another, and so does a thread that ends.
pub(crate) fn take() -> Vec<u8> {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.capacity() == 0 {
        buffer.reserve_exact(MIN_CAPACITY);
    }
    buffer
}

/// What is in the buffer. It is copied, unless the buffer is too large to be kept.
pub(crate) fn freeze(mut buffer: Vec<u8>) -> Box<[u8]> {
    if buffer.capacity() > MAX_KEPT {
        return buffer.into_boxed_slice();
    }
    let bytes = Box::from(&buffer[..]);
    buffer.clear();
    // A thread that ends has no place for it.
    let _ = BUFFER.try_with(|place| place.set(buffer));
    bytes
}

/// Enough for most events.
const MIN_CAPACITY: usize = 512;

/// What each thread may keep.
const MAX_KEPT: usize = 8 * 1024;
