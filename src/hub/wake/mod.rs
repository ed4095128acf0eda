//! Waking of subscribers by one task for each hub and runtime, so that a publisher wakes at most one task.

mod lingering;
#[cfg(all(test, tower_sse_loom))]
pub(crate) mod loom;
pub(crate) mod owed;
pub(crate) mod pump;
pub(crate) mod queue;
pub(crate) mod wakes;
