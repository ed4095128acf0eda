//! Provides the body of an event stream, and the sources of its bytes.
//!
//! ```text
//! SseBody ─┬─ a body that is no event stream, passed on
//!          └─ Running ─┬─ source: a stream of events │ an event service that answers late │ a decorated body
//!                      ├─ timer: an entry in the wheel of the runtime, or one of its own
//!                      └─ state ─┬─ control block, shared with the registry, the watchdog and the layers
//!                                ├─ deadlines: deadline, lifetime, checks of access, grace period
//!                                └─ settings in effect, burst, registered task, tracked frames
//! ```
//!
//! [`SseBody`](crate::SseBody) stands in `middleware`, since it knows the event service.
//!
//! # Order within a poll
//!
//! 1. **Causes to end**: requests of a drain, the watchdog or the end of a key, then the deadline or lifetime, then the checks of
//!    access. They come first, so that a stream that always has events ends as well. Before them, the body takes what outer
//!    layers have attached since the last poll.
//! 2. **Data**: all events that are ready leave in one frame of at most 8 KiB. A stream of larger events pauses after 64 KiB, so
//!    that the server sends them and other tasks run.
//! 3. **Heartbeat**: only if the source is pending. The timer is armed for the heartbeat or the next deadline, whichever is
//!    sooner. An event does not re-arm it: when it fires, it is armed for the time that is left.
//!
//! Between 2 and 3 the task is registered for requests, and they are looked for once more: a request from before the
//! registration is seen, and one from after it wakes the task.
//!
//! The last bytes are sent, then the error of an abort, then the end. At the end the source is released at once: a connection
//! may hold the body for much longer.
//!
//! # Boundaries
//!
//! Bytes of the crate's own may be added only where the format allows them: nothing within a line, a comment between lines, and
//! an event or the end between events (HTML §9.2.6). A source of events is always between events. A decorated stream tracks its
//! [`Boundary`](crate::event::boundary::Boundary), and a stream in a coding is sealed: nothing is added to it.
//!
//! A stream that is to end within an event has a grace period: its source stops at the end of the event, within 5 s, or 500 ms at
//! the deadline of a drain. After that the stream ends within the event, which its client drops.
//!
//! # Aborts
//!
//! A clean end means to an `EventSource` that it may reconnect, and to a client of another method that the answer is complete. So
//! an early end is an error there, after all bytes before it: see [`EarlyEnd`](crate::EarlyEnd). A server drops the bytes that it
//! still holds when it meets an error, so the error waits until the server has dropped its copy of the last frame.

pub(crate) mod abort;
pub(crate) mod attach;
pub(crate) mod boxed;
mod burst;
pub(crate) mod catch_panic;
pub(crate) mod coalesce;
pub(crate) mod count;
mod deadlines;
pub(crate) mod decorated;
mod effective_settings;
pub(crate) mod error;
pub(crate) mod frames;
pub(crate) mod from_stream;
mod handover;
mod last_bytes;
pub(crate) mod never;
pub(crate) mod running;
pub(crate) mod source;
pub(crate) mod state;
mod timer;
mod wakeup;
mod wheel;
