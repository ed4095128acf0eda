//! A hub on many nodes, by one stream in Redis (feature `redis`).
//!
//! A hub is one stream. What is published on any node is an entry of it, with its topic, and each node follows its tail into
//! its own hub: Redis gives each event once to each node, however many clients or topics there are, and any node goes on with
//! any client from memory. Ids are Redis's, and the same everywhere.
//!
//! ```no_run
//! use tower_sse::{Event, backplane::redis::Redis, hub::Hub};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Does not begin without Redis. `Redis::new` alone begins, and waits for it.
//! let redis = Redis::new("redis://127.0.0.1/")?.prefix("chat").connect().await?;
//! let hub = Hub::builder().build_with_backplane(redis);
//!
//! let id = hub.topic("news")?.publish(Event::new("hello")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What becomes of streams and publishers when something happens to Redis, what it has to be set to, and how other programs
//! publish, is in [`docs::nodes`](crate::docs::nodes).

pub(crate) mod connection;
pub(crate) mod continuity;
pub(crate) mod presence_codec;
pub(crate) mod read;

pub(crate) mod entry;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod follow;
pub(crate) mod id;
pub(crate) mod keys;
pub(crate) mod observer;
pub(crate) mod presence;
pub(crate) mod publish;
pub(crate) mod settings;
pub(crate) mod tail;
#[cfg(feature = "redis-tls")]
pub(crate) mod tls;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_core::future::BoxFuture;
use tokio::sync::mpsc;

pub use self::error::RedisError;
use self::{
    connection::{Endpoints, SharedConnection},
    follow::Follower,
    presence::Presence,
    publish::{PendingPublish, Queue},
    settings::{LONGEST_EXPIRY, RESPONSE_TIMEOUT, Settings},
};
use crate::{
    backplane::redis::observer::CatchPanics,
    event::field::EventId,
    hub::{
        error::PublishError,
        replica::contract::{Backplane, Feed, Outgoing},
    },
    observe::link::LinkObserver,
};

/// Feeds one hub from Redis; [`build_with_backplane`](crate::hub::HubBuilder::build_with_backplane) takes it.
#[must_use = "it does nothing until a hub is built on it"]
pub struct Redis {
    servers: Arc<Endpoints>,
    settings: Settings,
    /// Made when the first thing is published, or followed: from then on nothing is set any more.
    running: Mutex<Option<Running>>,
}

struct Running {
    settings: Arc<Settings>,
    queue: Queue,
    jobs: Option<mpsc::Receiver<PendingPublish>>,
}

impl Redis {
    /// Redis at this URL: `redis://user:password@host:port/database`, or `rediss://` with feature `redis-tls`, or
    /// `unix:/path`. Nothing is connected yet: a hub that is built on it waits for Redis, with its streams open, and
    /// [`connect`](Self::connect) tells whether it is there.
    ///
    /// # Errors
    ///
    /// It is no such URL.
    pub fn new(url: &str) -> Result<Self, RedisError> {
        let (servers, settings) = (Arc::new(Endpoints::new(url)?), Settings::new());
        Ok(Self { servers, settings, running: Mutex::default() })
    }

    /// Another address, which is tried when those before it cannot be reached, or are replicas: other nodes of a cluster,
    /// or the replica that takes over.
    ///
    /// # Errors
    ///
    /// It is no URL of Redis.
    pub fn fallback(mut self, url: &str) -> Result<Self, RedisError> {
        match Arc::get_mut(&mut self.servers) {
            Some(servers) => servers.and(url)?,
            None => return Err(RedisError::protocol("it is in use")),
        }
        Ok(self)
    }

    /// What the names of its keys begin with, which is the hub's name: hubs with the same share their events. Default `sse`,
    /// written `{sse}`, so that on a cluster all keys of a hub are at one node. One that has braces is taken as it is.
    pub fn prefix(mut self, prefix: &str) -> Self {
        let has_tag = prefix.contains(['{', '}']);
        self.settings.prefix = if has_tag { prefix.to_owned() } else { format!("{{{prefix}}}") };
        self
    }

    /// How many entries the stream has, at least, once there were so many. Default 100,000. Redis keeps up to a few hundred
    /// more, since it lets them go in blocks.
    pub fn entries(mut self, entries: u64) -> Self {
        self.settings.entries = entries.clamp(1, MOST_ENTRIES);
        self
    }

    /// How old an entry becomes, at least. Default an hour; `None`: any age. Looked at when something is published.
    pub fn age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.settings.age = age.into();
        self
    }

    /// How many keys a topic has in Redis. Default 1,024, at least one. Beyond it about the one goes that was published least
    /// recently.
    pub fn keys(mut self, keys: u64) -> Self {
        self.settings.keys = keys.max(1);
        self
    }

    /// How much of the stream a node loads when it begins: the newest entries, as far as both bounds and
    /// [`age`](Self::age) go. Default 100,000 entries, 64 MiB. A client whose id is from before that is told a gap.
    pub fn initial_load(mut self, entries: usize, bytes: usize) -> Self {
        (self.settings.tail_entries, self.settings.tail_bytes) = (entries, bytes);
        self
    }

    /// How long a publish waits until it is sent, and as long again for the answer. Default two seconds. What was not sent by
    /// then fails as [`NotSent`](PublishError::NotSent), what was not answered as [`Unknown`](PublishError::Unknown).
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.settings.publish_within = limit;
        self
    }

    /// How long an [idempotency key](crate::hub::Topic::publish_once) is remembered. Default ten minutes.
    pub fn idempotency_ttl(mut self, time: Duration) -> Self {
        self.settings.remember = time;
        self
    }

    /// How long a node that says nothing any more stays in the [presence](crate::hub::Topic::presence) of the others, and some
    /// three seconds more. Default five seconds, at least two, at most a day: a node says once a second that it is there.
    pub fn presence_ttl(mut self, after: Duration) -> Self {
        self.settings.node_expires = after.clamp(SHORTEST_EXPIRY, LONGEST_EXPIRY);
        self
    }

    /// Sets what observes how Redis is read. A panic of it ends nothing. Defaults to none.
    pub fn observer(mut self, observer: impl LinkObserver) -> Self {
        self.settings.observer = Arc::new(CatchPanics(observer));
        self
    }

    /// Connects once, to see whether Redis is there, may be used, and has what is needed.
    ///
    /// # Errors
    ///
    /// It is not there.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn connect(self) -> Result<Self, RedisError> {
        self.servers.connect(&self.settings, RESPONSE_TIMEOUT).await?;
        Ok(self)
    }

    fn running<T>(&self, f: impl FnOnce(&mut Running) -> T) -> T {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        f(running.get_or_insert_with(|| {
            let (queue, jobs) = Queue::new(&self.settings);
            Running { settings: Arc::new(self.settings.clone()), queue, jobs: Some(jobs) }
        }))
    }
}

impl Backplane for Redis {
    fn publish(&self, outgoing: Outgoing) -> BoxFuture<'static, Result<EventId, PublishError>> {
        self.running(|running| Box::pin(running.queue.enqueue(outgoing)))
    }

    fn follow(&self, feed: Feed) -> BoxFuture<'static, ()> {
        let (settings, jobs) = self.running(|running| (Arc::clone(&running.settings), running.jobs.take()));
        let settings = Arc::new(Settings { largest: feed.largest(), ..Settings::clone(&settings) });
        let servers = Arc::clone(&self.servers);
        feed.find_keys_when_asked();
        Box::pin(async move {
            let commands = Arc::new(SharedConnection::new(&servers, &settings));
            // It ends by itself, when the hub is gone and everything is sent.
            if let Some(jobs) = jobs {
                tokio::spawn(publish::run(jobs, Arc::clone(&commands), Arc::clone(&settings)));
            }
            let follower = Follower::new(&servers, &commands, &settings, &feed).run();
            let presence = Presence::new(&commands, &settings, &feed).run();
            futures_util::future::join(follower, presence).await;
        })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("settings", &self.settings).finish_non_exhaustive()
    }
}

const SHORTEST_EXPIRY: Duration = Duration::from_secs(2);

/// Redis counts with 63 bits, and refuses what is beyond.
const MOST_ENTRIES: u64 = i64::MAX.unsigned_abs();

#[cfg(test)]
mod tests {
    use super::*;

    /// Redis refused each publish.
    #[test]
    fn so_many_entries_can_be_asked_for_as_redis_can_count() {
        let redis = Redis::new("redis://127.0.0.1/").unwrap();
        assert!(i64::try_from(redis.entries(u64::MAX).settings.entries).is_ok());
    }
}
