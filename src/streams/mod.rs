//! Counting, limiting and ending the open streams of one or several layers, from outside.
//!
//! Event streams stay open for hours, so a server that has some never shuts down until they end. [`Streams`] is the
//! handle for a graceful shutdown, for a logout, and for limits. Pass it to [each layer](crate::SseLayer::streams)
//! whose streams belong together.
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::{Router, http::StatusCode, routing::get};
//! use tower_sse::{Event, Events, SseLayer, streams::Streams};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let streams = Streams::builder().max_streams(10_000).max_per_key(6).build();
//! let layer = SseLayer::from_fn(|_| async {
//!     Events::every(Duration::from_secs(1), || async { Event::new("tick") })
//! })
//! .streams(&streams)
//! // The key that streams are limited by: here a header that a proxy sets.
//! .stream_key(|head| head.headers().get("x-user")?.to_str().ok().map(Into::into));
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let app = Router::new().route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(layer));
//! let server = axum::serve(listener, app).with_graceful_shutdown(stop());
//! let mut server = std::pin::pin!(server.into_future());
//! tokio::select! {
//!     result = &mut server => return result,
//!     () = stop() => {}
//! }
//! // All streams end, and their clients reconnect to the next process. The server has at most 20 s.
//! streams.drain_with_server(server, Duration::from_secs(20)).await;
//! # Ok(())
//! # }
//! # async fn stop() {}
//! ```
//!
//! # What counts
//!
//! Each request that may be answered with a stream takes a *slot* when it arrives, before there is an answer. The slot
//! is tentative at first: a drain and a logout find it, but it does not count against a limit, and [`Streams::len`]
//! does not include it. It counts from the moment that the layer knows that the answer will be a stream: for an event
//! service at once, for [`decorate`](crate::SseLayer::decorate) when the inner service has answered with one, or at
//! once if [`expect_stream`](crate::SseLayer::expect_stream) says so. The slot is released with the answer, if that is
//! not a stream, or else at the end of the stream.
//!
//! One request can meet several layers with the same `Streams`, one inside the other. They share one slot, so that the
//! request counts once. A service between two of them may make several requests out of one; each further one takes a
//! slot of its own.
//!
//! # Admission
//!
//! A request is admitted if the number of streams, the number of streams with its [key](crate::SseLayer::stream_key),
//! and the rate of its key are within their limits, and no drain has begun. Otherwise it is refused with
//! [`Refusal::later`](crate::Refusal::later), whose source is an [`AdmissionError`]. Open streams are never evicted.
//!
//! A client that closes one stream and opens another is often faster than the release of its first slot. A request
//! beyond a limit therefore waits up to 80 ms for a slot, in all layers together: at most one request for each key, and
//! 64 in all. A request beyond the rate limit does not wait.
//!
//! # Ends
//!
//! | | streams | effect |
//! |---|---|---|
//! | [`Streams::drain`] | all | end at once, with a jittered `retry:`; those that [finish](OnDrain::Finish) have time until the deadline |
//! | [`Streams::end_key`] | those with a key | end at once, as after a logout |
//! | the [watchdog](StreamsBuilder::stall_timeout) | those whose clients do not read | release their resources; the server has to close the connection |
//!
//! **Drain.** New requests are refused, and each stream is asked to end. Shortly before the deadline, the streams that
//! are left are asked again, with more severity: now also those end that were to finish. The drain waits for requests
//! without an answer and for streams whose clients read. A client that has not read for a second would never read the
//! end, and reconnects after a cut connection, too.
//!
//! **Logout.** Each slot with the key is marked, and its streams are asked to end. A stream that opens in a marked slot
//! later ends before its first event.
//!
//! **Watchdog.** hyper does not poll the body of a client that has stopped reading, so such a stream can neither end
//! nor detect its state. One task for each `Streams` looks at the time of each stream's last frame, four times per
//! timeout. For a stream whose last poll returned a frame longer ago than that, the task releases what others wait for:
//! its slot, its observers, and its membership of topics.
//!
//! # Costs
//!
//! A lock when a request arrives, when its answer is a stream, and when the answer or the stream ends; a few
//! allocations for each request, and about 300 bytes for each stream. Under [`decorate`](crate::SseLayer::decorate)
//! that is so for every request of the layer, since any of them may be answered with a stream. A layer without
//! `Streams` has none of these costs.

// The parts, and the direction in which they know each other:
//
// - `slots` (with `slot`, `shares`, `limits`) is a plain table, generic over the stream.
// - `registry` is the table with its lock. It knows streams as `OpenStream` only.
// - `permit` and `waiter` know the registry as `SlotOwner` only. Their drop releases a share of a slot.
// - `resources` holds the permits, observers and detach handle of one stream, `control` is its control block and an
//   `OpenStream`.
//
// Lock order: the registry's lock and the locks of `resources` are never held together. Under the registry's lock the
// only calls are to the table, to the rate limiter, and to `OpenStream::drain_waits_for`, which reads atomics. No waker
// is woken, no observer called and no stream, permit or detach handle dropped under any of these locks.
//
// Invariant: a permit is held by one request or one stream at a time, and its slot is released exactly once, by the
// drop of the last.
//
// Ordering: `StreamControl::add` and `StreamControl::close` use sequentially consistent fences, so that a resource that
// is added while the stream ends is released by one of the two.

pub(crate) mod attached;
pub(crate) mod control;
pub(crate) mod drain;
pub(crate) mod end_cause;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod outer;
pub(crate) mod permit;
pub(crate) mod registry;
pub(crate) mod resources;
pub(crate) mod waiter;

mod limits;
mod open_stream;
mod queued_waker;
#[cfg(feature = "rate-limit")]
mod rate;
mod settings;
mod shares;
mod slot;
mod slot_owner;
mod slots;
mod watchdog;

pub use self::{
    drain::DrainReport,
    error::AdmissionError,
    handle::{Streams, StreamsBuilder},
};
pub use crate::settings::OnDrain;
