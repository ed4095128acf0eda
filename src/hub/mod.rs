//! Topics that many clients watch.
//!
//! A [`Hub`] has named topics. Each event is published once, encoded once, and kept in a bounded log. A subscriber is a cursor
//! into the logs of its topics: a slow or stalled reader never blocks a publisher and buffers nothing. A client that
//! reconnects sends its last id and resumes after it; a client that has missed something gets a [gap](#gaps).
//!
//! ```no_run
//! use axum::{Router, extract::State, routing::post};
//! use tower_sse::{Event, SseLayer, hub::{Hub, Subscribe}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let hub = Hub::new();
//!
//! // Each event stream at `/news` carries what is posted there.
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
//! axum::serve(listener, app.into_make_service()).await
//! # }
//! ```
//!
//! This page is an overview. All rules, with a picture, are in [`docs::topics`](crate::docs::topics).
//!
//! # Retention
//!
//! A topic keeps its newest events within four bounds, its [`Retention`]: by default 1,024 events, 1 MiB, one hour, and the
//! newest event of each of 1,024 keys. Beyond a bound the oldest events are evicted. All topics of a hub together keep up to
//! [`max_bytes`](HubBuilder::max_bytes), 64 MiB by default; beyond it the oldest events are evicted, whichever topic they are
//! in. There is no timer: ages are checked when topics are used.
//!
//! Delivery plays no part. An event with no subscriber is kept as long as any other, and a subscriber
//! that has not read an event does not keep it from being evicted.
//!
//! A topic exists as long as it is held (by a [`Subscription`], a [`Topic`] or a [`Presence`]), or is open and keeps something.
//! A hub has at most [`max_topics`](HubBuilder::max_topics) topics, 10,000 by default. At that limit a new name evicts a topic
//! that is not held, so hold the [`Topic`] if its events and keyed values must stay.
//!
//! Nothing outlives the process, unless the hub is replicated by a [backplane](crate::backplane).
//!
//! # Ids
//!
//! The hub gives each event an id, `epoch-sequence`, such as `9f86d081884c7d65-42`. The epoch is drawn at random for each hub
//! (a backplane has its own), and the sequence is shared by all topics of the hub. So an id
//!
//! - is a position: *everything up to here, in whichever topics*. A stream over several topics needs one id, and a client may
//!   come back for other topics than it had;
//! - is never valid for another hub or another run of this one. There it causes a gap, not a wrong resume;
//! - is not a permission. A client can send any id and then gets all that its topics keep. Bound what it may see with
//!   [`Subscribe::not_before`] and [`Subscribe::not_older_than`];
//! - is not private. The ids of one topic show how much is published in the others: use a hub for each tenant to hide that;
//! - is not a count within a topic. The ids of consecutive events of a topic may be any distance apart.
//!
//! # Lagging
//!
//! As logs are bounded, events may be evicted before a slow subscriber has read them. The subscriber *lags* from then on. This
//! is found when the subscription is polled next, and its [`LagPolicy`] decides:
//!
//! | policy | stream | afterwards |
//! |---|---|---|
//! | [`Disconnect`](LagPolicy::Disconnect), the default | ends with a `retry:` and [`Reason::Lagged`](crate::observe::Reason::Lagged): cleanly for GET, with an abort for other methods ([`EarlyEnd`](crate::EarlyEnd)) | the client reconnects with its last id, gets the kept events up to the end of the gap, the gap, and all that follows |
//! | [`Skip`](LagPolicy::Skip) | continues: the kept events up to the end of the gap, then the gap | all that follows |
//! | [`Conflate`](LagPolicy::Conflate) | continues: of events with a key only the newest of each, also while nothing is lost; events without a key as by `Skip` | all that follows, conflated |
//!
//! Use `Disconnect` if lag is exceptional and should be seen by operators, `Skip` if a client can live with holes, and
//! `Conflate` if only current values matter.
//!
//! A subscription is disconnected only after it has delivered something, and never while a gap is pending, so each reconnect
//! makes progress. With a [backplane](crate::backplane) the same holds on each node, for what that node keeps.
//!
//! # Lingering
//!
//! Each event costs a write for each of its clients. A topic that publishes hundreds of events a second to many clients can
//! gather them: with [`HubBuilder::linger`] or [`Topic::set_linger`] of 5 ms, its subscribers are woken at most once in 5 ms,
//! and each gets all events since then in one write. No event waits longer than the linger, to the millisecond.
//!
//! An event after a pause is delivered at once. So are the gathered events when they fill a frame of 8 KiB, when they are half
//! of what the topic retains, when the topic is closed, and when a publisher
//! [waits for readers](Topic::wait_for_readers). A topic lingers for at most half of its bound of age.
//!
//! Only the wake-up is delayed. Ids, [`Published`] and what a subscription reads are as without a linger, and a subscriber that
//! is polled for another reason, or has just arrived, reads the gathered events earlier. Each node of a
//! [backplane](crate::backplane) gathers for itself. Subscribers that are polled outside of a tokio runtime, or in one without
//! timers, are woken at once.
//!
//! # Gaps
//!
//! A gap says that something may be missing up to a position. As a [`Stream`](futures_core::Stream), a subscription yields
//! [`Update::Gap`]; in an event stream it is an event named `gap` (see [`HubBuilder::gap_event`]) with both ends as data:
//!
//! ```text
//! id: 9f86d081884c7d65-3
//! event: gap
//! data: {"from":"9f86d081884c7d65-2","to":"9f86d081884c7d65-3"}
//! ```
//!
//! A client gets a gap if it lags, if events after the id that it sends were evicted, if that id belongs to another epoch, is
//! ahead of the hub or cannot be parsed, or if the hub no longer knows whether its topics were closed in the meantime. A gap may be reported where nothing is missing (the
//! hub remembers a limited number of evicted topics), but nothing is missing without a gap.
//!
//! The end of a gap is fixed when the gap is found. What is kept up to there is delivered before it, and all else after it, so
//! a client may be cut anywhere and resume from the last id that it has received. A page that needs complete data reloads its
//! state on a gap.
//!
//! # Keyed values and snapshots
//!
//! [`Topic::publish_keyed`] also keeps an event as the newest of its key, beside the log, until the key is
//! [removed](Topic::remove_key) or evicted. [`Start::Snapshot`] begins a stream with the newest event of each key and the
//! newest event without one. Events of a snapshot have no id, except the last, which has the position of the snapshot: a client
//! that is cut within a snapshot gets a whole one again.
//!
//! # Closing and reopening
//!
//! [`Topic::close`] closes a topic: its streams get what remains, then a clean end. The next publish opens the topic again; a
//! subscription does not. A stream over several topics ends at the first position at which all of them are closed, whenever
//! that position is read. A client that comes for closed topics gets the kept events that it does not have, and the end; if
//! there are none, it waits until a topic is opened.
//!
//! Browsers reconnect after a clean end. Refuse them with [`Refusal::stop`](crate::Refusal::stop).
//!
//! # Waiting for readers
//!
//! A publish never waits for a subscriber. A publisher that prefers back-pressure to lag awaits [`Topic::wait_for_readers`], which completes
//! once the slowest subscriber is near enough. A stalled subscriber counts until the
//! [watchdog](crate::streams::StreamsBuilder::stall_timeout) ends it, so put a time limit around the wait.
//!
//! # Presence
//!
//! A subscription may name a [`member`](Subscribe::member). [`Topic::presence`] returns the members of a topic, the number of
//! its streams, and a stream of changes, at most one a second. With a backplane the members of all nodes are included.

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
    error::{BackplaneError, PublishError, SubscribeError, TopicError},
    handle::{Hub, HubBuilder},
    health::HubHealth,
    presence::{Presence, PresenceChange},
    published::Published,
    retention::Retention,
    service::{HubService, IntoSubscribe},
    subscription::{
        Subscription,
        request::{LagPolicy, Start, Subscribe},
        update::Update,
    },
    topic::Topic,
};
pub use crate::event::gap::Gap;
