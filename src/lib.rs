//! Server push over HTTP by [Server-Sent Events], as a [tower] layer for axum, tonic and hyper.
//!
//! A page opens `new EventSource(url)`; the server keeps the response open and sends an event whenever it has one.
//! [`SseLayer`] puts an *event service* beside an existing service. A request that accepts `text/event-stream` goes to the event
//! service, every other request to the *inner service*, unchanged. The layer does everything between an event and the socket:
//! the response head, the encoding, the flush, the heartbeat and the end.
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
//!     // Calls the closure once a second and sends its event.
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
//! axum::serve(listener, app.into_make_service()).await
//! # }
//! ```
//!
//! The layer wraps the handler of `/events`, which answers requests that do not accept events. The layers of the router, such as
//! authentication added with `route_layer`, run before both. Around a whole router, the layer would answer requests for events
//! on every path, before the router's own layers run. Restrict it to its path with [`when`](SseLayer::when), and add
//! authentication outside of it: on that path the router's layers still do not run for events.
//!
//! # Overview
//!
//! | | |
//! |---|---|
//! | [`SseLayer`], [`Sse`] | the layer with its settings, and the service that it creates; see [`middleware`] for the path of a request |
//! | [`SseLayer::decorate`] | a layer for event streams that the inner service answers: a handler, a proxy, tonic |
//! | [`Event`], [`EventName`], [`EventId`], [`EventComment`] | events, encoded once |
//! | [`Events`], [`EventSender`], [`Reply`] | answers of an event service: a stream, a channel, a closure called at an interval |
//! | [`Refusal`] | refusals that browsers understand |
//! | [`Negotiate`] | the choice by `Accept` |
//! | [`LastEventId`] | the position of a client that reconnects |
//! | [`StreamSettings`]: [`Heartbeat`], [`Comments`], [`EarlyEnd`], [`LastRetry`] | settings of one stream |
//! | [`hub`]: [`Hub`](hub::Hub), [`Topic`](hub::Topic), [`Subscribe`](hub::Subscribe) | topics for many clients, with resumption by id |
//! | [`streams`], [`access`] | limits, permissions and ends of open streams |
//! | [`backplane`] | replication of a hub across nodes |
//! | [`observe`]: [`Observer`](observe::Observer), [`Reason`](observe::Reason) | hooks for opening, events and end of each stream |
//! | [`SseBody`], [`BodyError`] | the response body and its error |
//! | [`decode`]: [`Decoder`](decode::Decoder), [`EventReader`](decode::EventReader) | readers of event streams, for clients and tests |
//!
//! # Guarantees
//!
//! - No event can inject another: a line break in its data becomes a line of the data, and its name and id contain none.
//! - Events that are ready at the same time leave at once, in one frame of up to 8 KiB. The memory of a stream is bounded.
//! - If the code that feeds a stream fails or panics, the events before that are still sent, and then the stream ends. The end
//!   is clean for GET, so that a browser reconnects, and an abort for other methods, so that an incomplete answer does not look
//!   complete: see [`EarlyEnd`].
//! - A request that does not accept events passes unchanged, and so does its response, except that `Vary: Accept` is added if
//!   `Accept` was consulted.
//!
//! # Requirements
//!
//! Heartbeats and deadlines need a tokio runtime with its timer enabled. If a stream has a heartbeat or a deadline, polling its
//! body outside of such a runtime panics. No setting of the server is required, except that tonic needs `accept_http1(true)` for
//! browsers without TLS. [`docs::serving`] has the settings that make streams cheap, [`docs::operations`] is about running a
//! service, [`docs::proxies`] and [`docs::stacking`] about proxies and other layers.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `json` | yes | [`Event::json`] and [`Event::tagged`], with serde_json |
//! | `axum` | no | handlers return [`Events`], [`Reply`] and [`Refusal`], and extract [`Option<LastEventId>`](LastEventId); see `docs::axum` |
//! | `metrics` | no | `observe::Metrics`, an observer that records metrics through the `metrics` facade |
//! | `tracing` | no | `observe::Tracing`, an observer with a span for each stream |
//! | `rate-limit` | no | `streams::StreamsBuilder::rate_limit_per_key`, with governor |
//! | `test-util` | no | `testing`: streams without a socket, an observer that records; `backplane::conformance` |
//! | `redis` | no | `backplane::redis`, which replicates a hub across nodes through a stream in Redis; see [`docs::nodes`] |
//! | `redis-tls` | no | connections to Redis over TLS, with rustls |
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
mod axum;
mod body;
mod error;
mod event;
#[cfg(feature = "metrics")]
mod metrics;
pub mod middleware;
mod negotiate;
mod panic;
mod settings;
mod time;
#[cfg(feature = "tracing")]
mod tracing;

/// Decoding of event streams, for clients and tests.
///
/// A [`Decoder`](decode::Decoder) takes bytes as they come, cut anywhere, and returns each [`Item`](decode::Item) that a client acts
/// on: an event when its blank line is read, a `retry:` and a comment when its line is read. It holds one line and one event at most,
/// each within a limit. An [`EventReader`](decode::EventReader) runs one over a body.
///
/// ```
/// use tower_sse::decode::{Decoder, Item};
///
/// let mut decoder = Decoder::new();
/// let mut input: &[u8] = b"id: 1\ndata: hel";
/// assert_eq!(decoder.decode(&mut input)?, None); // The event is incomplete.
/// input = b"lo\n\n";
/// let Some(Item::Event(message)) = decoder.decode(&mut input)? else { panic!() };
/// assert_eq!(message.data(), "hello");
/// assert_eq!(decoder.last_event_id(), "1");
/// # Ok::<(), tower_sse::decode::DecodeError>(())
/// ```
///
/// An event that is incomplete when the bytes end is no event ([HTML §9.2.6]), and is dropped with the decoder.
///
/// [HTML §9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
pub mod decode {
    pub use crate::event::{
        decode::{DecodeError, Decoder, Item, Message},
        reader::{EventReader, ReadError},
    };
}

/// The future of the layer's response, and the types in its signature.
pub mod future {
    pub use crate::middleware::{
        event_service::{AnswerFuture, EventResult},
        future::ResponseFuture,
        oneshot::Oneshot,
        standalone::Standalone,
    };
}

/// Sources of [`Events`], for signatures that name their types.
pub mod source {
    pub use crate::{
        answer::{channel::EventReceiver, interval::Interval, once::Once},
        body::{
            boxed::{BoxSource, LocalBoxSource},
            from_stream::{IntoEvent, StreamSource},
            never::Never,
        },
    };
}

pub use self::event::encode::LastRetry;
#[cfg(feature = "json")]
pub use self::event::json::JsonError;
pub use self::negotiate::request_head::RequestHead;
pub use self::{
    answer::{
        BoxEvents, Events, IntoReply, LocalBoxEvents, Reply,
        channel::{EventSender, SendError, TrySendError},
    },
    body::{abort::EarlyEndError, error::BodyError, source::Source},
    error::BoxError,
    event::{
        Event, EventBuilder,
        field::{EventComment, EventId, EventName, InvalidEventComment, InvalidEventId, InvalidEventName},
    },
    middleware::{body::SseBody, layer::SseLayer, service::Sse},
    negotiate::{accept::Negotiate, last_event_id::LastEventId, refusal::Refusal},
    settings::{Comments, EarlyEnd, StreamSettings, heartbeat::Heartbeat},
};

/// Guides: defaults and their reasons, operations, servers, proxies, pages, other layers, topics, nodes, design.
#[cfg(any(doc, doctest))]
pub mod docs {
    #[cfg(feature = "axum")]
    #[doc = include_str!("../docs/axum.md")]
    pub mod axum {}
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
