//! A backplane on one stream in Redis (feature `redis`).
//!
//! All topics of a hub share one stream. A publish on any node appends an entry with the topic to it, and each node reads the
//! tail of the stream into its own hub. Redis therefore sends each event once to each node, however many clients and topics there
//! are, and any node resumes any client from memory. Event ids are derived from Redis's entry ids and are equal on all nodes.
//!
//! ```no_run
//! use tower_sse::{Event, backplane::redis::Redis, hub::Hub};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Fails if Redis is unreachable. `build` does not connect: the hub then waits for Redis.
//! let redis = Redis::builder("redis://127.0.0.1/").prefix("chat").connect().await?;
//! let hub = Hub::builder().build_with_backplane(redis);
//!
//! let id = hub.topic("news")?.publish(Event::new("hello")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`docs::nodes`](crate::docs::nodes) lists the effects of each failure of Redis on streams and publishers, the configuration
//! that Redis needs, and the way for other programs to publish.

pub(crate) mod builder;
pub(crate) mod connection;
pub(crate) mod continuity;
pub(crate) mod entry;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod follow;
pub(crate) mod id;
pub(crate) mod keys;
pub(crate) mod observer;
pub(crate) mod presence;
pub(crate) mod presence_codec;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod settings;
pub(crate) mod tail;
#[cfg(feature = "redis-tls")]
pub(crate) mod tls;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_core::future::BoxFuture;
use tokio::sync::mpsc;

pub use self::{builder::RedisBuilder, error::RedisError};
use self::{
    connection::{Endpoints, SharedConnection},
    follow::Follower,
    presence::PresenceExchange,
    publish::{PendingPublish, Queue},
    settings::Settings,
};
use crate::{
    event::field::EventId,
    hub::{
        error::PublishError,
        replica::contract::{Backplane, Feed, Outgoing},
    },
};

/// A backplane on Redis, for one hub.
///
/// Create it with [`Redis::builder`], and pass it to
/// [`HubBuilder::build_with_backplane`](crate::hub::HubBuilder::build_with_backplane).
#[must_use = "a backplane does nothing until a hub is built on it"]
pub struct Redis {
    endpoints: Arc<Endpoints>,
    settings: Arc<Settings>,
    queue: Queue,
    /// Taken by the first call of `follow`, whose task then sends until the queue is closed.
    pending: Mutex<Option<mpsc::Receiver<PendingPublish>>>,
}

impl Redis {
    fn new(endpoints: Endpoints, settings: Settings) -> Self {
        let (queue, pending) = Queue::new(&settings);
        Self { endpoints: Arc::new(endpoints), settings: Arc::new(settings), queue, pending: Mutex::new(Some(pending)) }
    }
}

impl Backplane for Redis {
    fn publish(&self, outgoing: Outgoing) -> BoxFuture<'static, Result<EventId, PublishError>> {
        Box::pin(self.queue.enqueue(outgoing))
    }

    fn follow(&self, feed: Feed) -> BoxFuture<'static, ()> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let settings = Arc::new(Settings { max_entry_bytes: feed.largest(), ..Settings::clone(&self.settings) });
        let endpoints = Arc::clone(&self.endpoints);
        feed.find_keys_when_asked();
        Box::pin(async move {
            let commands = Arc::new(SharedConnection::new(&endpoints, &settings));
            // Ends once the hub is dropped and every pending publish has completed.
            if let Some(pending) = pending {
                tokio::spawn(publish::run(pending, Arc::clone(&commands), Arc::clone(&settings)));
            }
            let follower = Follower::new(&endpoints, &commands, &settings, &feed).run();
            let presence = PresenceExchange::new(&commands, &settings, &feed).run();
            futures_util::future::join(follower, presence).await;
        })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("settings", &self.settings).finish_non_exhaustive()
    }
}
