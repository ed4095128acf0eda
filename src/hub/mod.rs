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

pub(crate) mod caught_up;
pub(crate) mod handle;
pub(crate) mod registry;
pub(crate) mod replica;
pub(crate) mod retention;
pub(crate) mod state;
pub(crate) mod wake;

// ── pure ──
pub(crate) mod position;
// ── shared ──
pub(crate) mod core;
pub(crate) mod sync;
// ── handles ──
pub(crate) mod error;
pub(crate) mod health;
pub(crate) mod presence;
pub(crate) mod published;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod subscription;
pub(crate) mod topic;

pub use self::{
    error::{PublishError, SubscribeError, TopicError},
    handle::Hub,
    health::HubHealth,
    presence::{Presence, PresenceChange},
    published::Published,
    retention::Retention,
    service::{HubService, IntoSubscribe},
    subscription::{
        Subscription,
        output::Update,
        request::{LagPolicy, Start, Subscribe},
    },
    topic::Topic,
};
pub use crate::event::gap::Gap;
pub use crate::hub::handle::HubBuilder;
