//! Replication of a hub across nodes, and the contract that a backplane implements.
//!
//! A subscriber always reads the log of its own node. A [`Backplane`] replicates that log: it takes each publish of a node, agrees
//! with the other nodes on one order, and applies every event of that order to the hub of every node through a [`Feed`].
//! [`HubBuilder::build_with_backplane`](crate::hub::HubBuilder::build_with_backplane) builds a hub on one. A hub without a backplane
//! has no cost from this module.
//!
#![cfg_attr(feature = "redis", doc = "[`redis::Redis`] is a backplane on one stream in Redis.")]
//! To write another one, implement [`Backplane`] and test it with `conformance::run` (feature `test-util`).
//!
//! # From a publish to a subscriber
//!
//! 1. A publisher calls [`Topic::publish`](crate::hub::Topic::publish) on some node. The hub hands an [`Outgoing`] to
//!    [`Backplane::publish`], whose future completes with the [`EventId`](crate::EventId) that the event has on every node.
//! 2. Each node runs [`Backplane::follow`] in a task of its own. It reads the order from the service behind the backplane and
//!    calls [`Feed::apply`] with each event, as an [`Incoming`], including the events that its own node published.
//! 3. The hub appends the event to the log of its topic and wakes the subscribers.
//!
//! A node that starts, or that cannot tell whether it missed events, starts a new load: [`Feed::begin_epoch`], then the retained
//! events, then [`Feed::synced_through`].
//!
//! # The contract
//!
//! - **Order.** A hub has one sequence: increasing numbers, one for each event, identical on all nodes. Each node applies every
//!   event once, in this order, after [`Feed::begin_epoch`].
//! - **Atomicity.** The events of one [`Outgoing`] are adjacent in the order, or none of them is in it.
//! - **Ids.** A publish is acknowledged with the position that its event has on every node.
//! - **History.** A position belongs to an *epoch*. Within one epoch a position never refers to another event. If events may
//!   have been lost, or if numbers may be assigned a second time, the epoch changes. Each node then loads again, and its
//!   subscribers receive a gap.
//! - **Retention** is a lower bound: the backplane may retain more than configured, never less.
//! - **Errors.** A publish fails as *not sent*, or as *unknown*: the event may be in the order, now or later. Neither the hub
//!   nor the backplane retries a publish. An idempotency key makes a retry by the caller safe.
//! - **Start.** A node calls [`Feed::synced_through`] once it has applied all retained events, and at least once a second from
//!   then on. Subscribers wait for the first call.
//! - **Keys.** A node has the newest event of each key: of all topics from [`Feed::begin_epoch`] on, or, after
//!   [`Feed::find_keys_when_asked`], of a topic once it is [wanted](Feed::wanted).
//! - **Size.** The hub skips an event that is larger than its bounds. The event keeps its position in the order.
//! - **Link.** While the service behind a backplane is unreachable, the backplane reports it through [`Feed::link`]. Streams stay
//!   open.

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(feature = "redis")]
pub mod redis;

pub use crate::{
    hub::{
        replica::contract::{Backplane, Feed, Incoming, Outgoing},
        state::members::TopicPresence,
    },
    observe::link::{Link, LinkObserver},
};
