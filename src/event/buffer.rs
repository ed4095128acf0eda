//! A buffer for each thread, for JSON whose length is not known before it is written.
//!
//! A log may keep an event for long, so its memory should have no spare capacity, and a buffer that grows costs several allocations.
//! So each thread reuses one buffer, and what was written is copied.

use std::cell::Cell;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Takes the thread's buffer, which is empty, until [`freeze`] returns it. Creates another one if the buffer is in use, by a value
/// that makes an event while it is serialized, or if the thread is ending.
pub(crate) fn take() -> Vec<u8> {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.capacity() == 0 {
        buffer.reserve_exact(MIN_CAPACITY);
    }
    buffer
}

/// Returns what was written, and the buffer to its thread. Copies the bytes, unless the buffer is too large to be kept.
pub(crate) fn freeze(mut buffer: Vec<u8>) -> Box<[u8]> {
    if buffer.capacity() > MAX_KEPT {
        return buffer.into_boxed_slice();
    }
    let bytes = Box::from(&buffer[..]);
    buffer.clear();
    // Fails if the thread is ending.
    let _ = BUFFER.try_with(|slot| slot.set(buffer));
    bytes
}

/// Enough for most events.
const MIN_CAPACITY: usize = 512;

/// The largest buffer that a thread keeps.
const MAX_KEPT: usize = 8 * 1024;
