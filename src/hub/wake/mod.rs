//! Waking of subscribers by one task for a hub and a runtime, so that a publisher wakes one task at most.

pub(crate) mod lane;
#[cfg(all(test, tower_sse_loom))]
pub(crate) mod loom;
pub(crate) mod pump;
