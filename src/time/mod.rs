//! Deadlines that saturate, jitter, and the times of timers.

pub(crate) mod alarm;
pub(crate) mod calendar;
pub(crate) mod deadline;
pub(crate) mod jitter;
