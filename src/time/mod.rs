//! Deadlines that saturate, and jitter.

pub(crate) mod deadline;
pub(crate) mod jitter;
