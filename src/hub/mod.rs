//! Topics, for when many clients watch the same events.
//!
//! Each event is encoded once and kept in a bounded log; a subscriber is a cursor into it. A client that comes back says what
//! it had last, and goes on from there; one that has missed something is told so. A reader that is slow, or does not read at
//! all, delays nobody and holds nothing but its place.
//!
//! ```no_run
//! use axum::{Router, extract::State, routing::post};
//! use tower_sse::{Event, SseLayer, hub::{Hub, Subscribe}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let hub = Hub::new();
//!
//! // Each event stream at `/news` has what is posted there.
//! let layer = SseLayer::new(hub.service(|_| Subscribe::to("news")));
//!
//! async fn publish(State(hub): State<Hub>, text: String) -> Result<(), String> {
//!     let news = hub.topic("news").map_err(|error| error.to_string())?;
//!     news.publish(Event::new(text)).await.map_err(|error| error.to_string())?;
//!     Ok(())
//! }
//!
//! let app = Router::new().route("/news", post(publish).layer(layer)).with_state(hub);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! The rules, with a picture, are in [`docs::topics`](crate::docs::topics).

// ── pure ──
mod begin;
mod bounds;
mod closings;
mod directory;
mod elsewhere;
mod era;
mod joined;
mod latest;
mod log;
mod members;
mod pick;
mod picked;
mod position;
mod readers;
mod removed;
mod subscribe;
mod unheld;
mod waiters;
mod waiting;
// ── shared ──
mod asked;
mod core;
mod fed;
mod hold;
mod lane;
mod ordered;
mod pump;
mod sync;
mod tally;
mod topic_state;
// ── handles ──
mod builder;
mod drained;
mod error;
mod health;
#[expect(clippy::module_inception, reason = "it is the hub")]
mod hub;
mod presence;
mod published;
mod seats;
mod service;
mod standing;
mod subscription;
mod topic;
mod update;

pub(crate) use self::{asked::Asked, core::Core, position::Position};
pub use self::{
    bounds::Bounds,
    builder::HubBuilder,
    error::{PublishError, SubscribeError, TopicError},
    health::HubHealth,
    hub::Hub,
    presence::{Presence, PresenceChange},
    published::Published,
    service::{HubService, IntoSubscribe},
    subscribe::{Lag, Start, Subscribe},
    subscription::Subscription,
    topic::Topic,
    update::{Gap, Update},
};
