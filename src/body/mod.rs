//! What comes out of the layer: one body type, and the parts that it is made of.
//!
//! ```text
//! SseBody ─┬─ a body of somebody else, untouched
//!          └─ Running ── pulls a Source: a stream of events │ an event service that is late │ a decorated body
//! ```
//!
//! [`SseBody`] is the choice; `Running` owns the order of things within a poll; a source owns what comes next.

pub(crate) mod abort;
pub(crate) mod attach;
mod burst;
pub(crate) mod coalesce;
pub(crate) mod count;
mod deadlines;
pub(crate) mod decorated;
mod effective;
pub(crate) mod error;
pub(crate) mod frames;
pub(crate) mod from_stream;
pub(crate) mod guard;
mod handover;
mod last_bytes;
pub(crate) mod never;
pub(crate) mod running;
pub(crate) mod source;
pub(crate) mod state;
mod wakeup;
