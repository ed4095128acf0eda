//! Server push over HTTP by [Server-Sent Events], as a [tower] layer for axum, tonic and hyper.
//!
//! A page opens `new EventSource(url)`; the server keeps the response open and sends an event whenever it has one.
//! [`SseLayer`] puts an *event service* beside the service that is there: a request that asks for `text/event-stream` goes to
//! it, every other goes inside, untouched. The layer owns everything between an event and the socket: the head, the encoding,
//! the flush, the heartbeat, the end.
//!
//! # Five minutes, in axum
//!
#![cfg_attr(feature = "json", doc = "```no_run")]
#![cfg_attr(not(feature = "json"), doc = "```ignore")]
//! use std::time::Duration;
//! use axum::{Router, http::StatusCode, response::Html, routing::get};
//! use serde::Serialize;
//! use tower_sse::{Event, Events, SseLayer};
//!
//! #[derive(Serialize)]
//! struct Price { symbol: &'static str, cents: u32 }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let events = SseLayer::from_fn(|_request| async {
//!     // Each second: ask, send as JSON, flush.
//!     Events::every(Duration::from_secs(1), || async {
//!         Event::json(&Price { symbol: "ACME", cents: 4210 })
//!     })
//! })
//! .heartbeat(Duration::from_secs(10));
//!
//! const PAGE: &str = "<script>new EventSource('/events').onmessage = e => document.body.append(e.data)</script>";
//!
//! let app = Router::new()
//!     .route("/", get(Html(PAGE)))
//!     .route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(events));
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! The layer is around the handler of `/events`, which answers requests that do not ask for events; the layers of the router,
//! such as an authentication by `route_layer`, stand outside of both. Around a whole router the layer would answer for each
//! path, and past those layers: say by [`when`](SseLayer::when) which requests it is for.
//!
//! # The parts
//!
//! | | |
//! |---|---|
//! | [`SseLayer`], [`Sse`] | the layer and all that can be set on it, and the service that it makes |
//! | [`Event`], [`EventName`], [`EventId`] | what is sent; see [`event`] and [`field`] |
//! | [`Events`], [`EventSender`], [`Reply`] | what an event service answers: a stream, a channel, a source asked at a pace |
//! | [`Refusal`] | how it says no, so that a browser understands; see [`refusal`] |
//! | [`Negotiate`] | how `Accept` chooses |
//! | [`LastEventId`] | where a reconnecting client left off |
//! | [`Heartbeat`], [`Comments`], [`EarlyEnd`], [`LastRetry`], [`StreamSettings`] | what one stream has of its own |
//! | [`hub`]: [`Hub`](hub::Hub), [`Topic`](hub::Topic), [`Subscribe`](hub::Subscribe) | many clients that watch the same events |
//! | [`streams`], [`access`] | ends, limits and permissions of open streams |
//! | [`backplane`] | what makes a hub the same on many nodes |
//! | [`Observer`], [`StreamObserver`], [`Reason`] | who is told what happens, and why it ended; see [`observe`] |
//! | [`SseBody`], [`BodyError`] | the body of each response, and its error |
//! | [`decode::Decoder`], [`EventReader`] | bytes, or a body, to events: for clients and tests |
//!
//! # What it promises
//!
//! - Nothing in an event can inject: a line break in its data is one of its data's lines, its name and id hold none.
//! - All events that are ready leave at once, in one frame up to 8 KiB; memory for a stream does not grow.
//! - A stream ends in order whatever happens in the code that feeds it, panics included: what came before has been sent. The end is
//!   clean for GET, so that a browser comes back, and an abort for other methods, so that nothing truncated looks whole: [`EarlyEnd`].
//! - A request that is not for events, and its response, pass as they are. Only `Vary: Accept` is added where `Accept` was
//!   looked at.
//!
//! # What it needs
//!
//! A tokio runtime with its timer, for heartbeats and deadlines: the body of a stream that has either panics when it is polled
//! outside of one. No server setting is required, but [`docs::serving`] has the lines that make a stream cheap,
//! [`docs::operations`] tells how to run one, and [`docs::proxies`] and [`docs::stacking`] what stands in the way of events.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `json` | yes | [`Event::json`] and [`Event::tagged`], by serde_json |
//! | `axum` | no | handlers answer [`Events`] and [`Refusal`], and extract [`LastEventId`]; see [`mod@axum`] |
//! | `metrics` | no | `metrics::Metrics`, an observer that records numbers by the `metrics` facade |
//! | `tracing` | no | `tracing::Tracing`, an observer with a span for each stream |
//! | `rate-limit` | no | `streams::StreamsBuilder::rate_limit_per_key`, by governor |
//! | `test-util` | no | `testing`: streams without a socket, an observer that remembers; `backplane::conformance` |
//! | `redis` | no | `backplane::redis`: a hub on many nodes, by a stream in Redis; see [`docs::nodes`] |
//! | `redis-tls` | no | the same by TLS, with rustls |
//!
//! [Server-Sent Events]: https://html.spec.whatwg.org/multipage/server-sent-events.html
//! [tower]: https://docs.rs/tower

pub mod access;
pub mod backplane;
pub mod hub;
pub mod observe;
pub mod streams;
#[cfg(feature = "test-util")]
pub mod testing;

mod answer;
#[cfg(feature = "axum")]
pub mod axum;
mod body;
mod error;
mod event;
#[cfg(feature = "metrics")]
pub mod metrics;
mod middleware;
mod negotiate;
mod panic;
mod settings;
mod time;
#[cfg(feature = "tracing")]
pub mod tracing;

/// Reading of event streams: the grammar, without I/O.
pub mod decode {
    pub use crate::event::decode::{DecodeError, Decoder, Item, Message};
}

/// The future and the types that stand in its signature.
pub mod future {
    pub use crate::middleware::{
        event_service::{AnswerFuture, EventResult},
        future::{Oneshot, ResponseFuture},
        standalone::Standalone,
    };
}

/// The sources of [`Events`], for signatures that name them.
pub mod source {
    pub use crate::{
        answer::{channel::EventReceiver, interval::Interval},
        body::from_stream::StreamSource,
    };
}

pub use self::event::encode::LastRetry;
#[cfg(feature = "json")]
pub use self::event::json::JsonError;
pub use self::negotiate::request_head::RequestHead;
pub use self::{
    answer::{
        Events, IntoAnswer, IntoReply, Reply,
        channel::{EventSender, SendError, TrySendError},
    },
    body::{abort::EarlyEndError, error::BodyError, from_stream::IntoEvent, never::Never, source::Source},
    error::BoxError,
    event::{
        Event, EventBuilder,
        field::{EventId, EventName, InvalidEventId, InvalidEventName},
        reader::{EventReader, ReadError},
    },
    middleware::{
        body::SseBody,
        layer::SseLayer,
        service::{FromFn, NoEvents, Sse},
    },
    negotiate::{accept::Negotiate, last_event_id::LastEventId, refusal::Refusal},
    observe::{Closed, Observer, ObserverId, Reason, Sent, StreamObserver},
    settings::{Comments, EarlyEnd, StreamSettings, heartbeat::Heartbeat},
};

/// What would be too long beside the code: why the defaults are what they are, operations, servers, proxies, pages, other layers,
/// choices.
#[cfg(any(doc, doctest))]
pub mod docs {
    #[doc = include_str!("../docs/browser.md")]
    pub mod browser {}
    #[doc = include_str!("../docs/compare.md")]
    pub mod compare {}
    #[doc = include_str!("../docs/defaults.md")]
    pub mod defaults {}
    #[doc = include_str!("../docs/design.md")]
    pub mod design {}
    #[doc = include_str!("../docs/nodes.md")]
    pub mod nodes {}
    #[doc = include_str!("../docs/operations.md")]
    pub mod operations {}
    #[doc = include_str!("../docs/proxies.md")]
    pub mod proxies {}
    #[doc = include_str!("../docs/serving.md")]
    pub mod serving {}
    #[doc = include_str!("../docs/stacking.md")]
    pub mod stacking {}
    #[doc = include_str!("../docs/topics.md")]
    pub mod topics {}
}

#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../README.md")]
struct Readme;
