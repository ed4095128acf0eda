//! The open streams of one or several layers, from outside: how many there are and may be, and how they end together.
//!
//! A server that has event streams never comes to rest by itself: they are open for hours. [`Streams`] is the handle that a
//! shutdown, a logout and a limit need. Give it to [each layer](crate::SseLayer::streams) whose streams it shall hold.
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
//! // Who it is, for the limit by key: here by a header that a proxy sets.
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
//! // All streams end, and their clients come back to the next process; the server has until then at most.
//! streams.drain_with_server(server, Duration::from_secs(20)).await;
//! # Ok(())
//! # }
//! # async fn stop() {}
//! ```
//!
//! # Ends
//!
//! | | who ends | how |
//! |---|---|---|
//! | [`Streams::drain`] | all | at once, with a `retry:` that is spread; those that [finish](OnDrain::Finish) have time until the deadline |
//! | [`Streams::end_key`] | those of a key: a logout | at once |
//! | the [watchdog](StreamsBuilder::stall_timeout) | those whose client does not read | what they hold is freed; the connection itself is the server's to cut |
//!
//! # Costs
//!
//! A lock when a request comes, when its answer is a stream, and when the answer or the stream ends; a few allocations for each
//! request, and about 300 bytes for each stream. That is for every request of a layer that
//! [decorates](crate::SseLayer::decorate), since any may be answered with a stream. Without a `Streams` there is none of it.

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
