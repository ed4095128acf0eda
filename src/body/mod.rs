//! What comes out of the layer: one body type, and the parts that it is made of.
//!
//! ```text
//! SseBody ─┬─ a body of somebody else, untouched
//!          └─ Running ── pulls a Source: a stream of events │ an event service that is late │ a decorated body
//! ```
//!
//! [`SseBody`] is the choice; `Running` owns the order of things within a poll; a source owns what comes next.

pub(crate) mod abort;
mod coalesce;
mod count;
pub(crate) mod decorated;
mod error;
mod frames;
pub(crate) mod guard;
pub(crate) mod heartbeat;
pub(crate) mod never;
pub(crate) mod outside;
mod over;
pub(crate) mod place;
pub(crate) mod record;
pub(crate) mod running;
pub(crate) mod slot;
pub(crate) mod source;
mod sse;
pub(crate) mod state;
pub(crate) mod streamed;
mod waits;
pub(crate) mod why;

pub(crate) use sse::Kind;
pub use {error::BodyError, sse::SseBody};
