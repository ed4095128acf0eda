//! What feeds a hub from outside of the process, so that it is the same on many nodes.
//!
//! A subscriber always reads its own node's log. A [`Backplane`] only feeds it: it takes what is published on this node, agrees
//! with the other nodes on one order, and gives every node's hub all events of that order through its [`Feed`].
//! [`Hub::builder`](crate::hub::Hub::builder) gets it by [`build_with_backplane`](crate::hub::HubBuilder::build_with_backplane). A hub without a
//! backplane has nothing of it.
//!
//! # The contract
//!
//! What a backplane has to keep:
//!
//! - **Order.** There is one sequence for the hub: numbers that increase, one for an event, the same on all nodes. Every node
//!   is given every event, in this order, once, after [`Feed::begin_epoch`].
//! - **Atomicity.** The events of one [`Outgoing`] are next to each other in the order, or none of them is there.
//! - **Ids.** A publish that is acknowledged gives the position that the event has on every node.
//! - **History.** Positions are of an *epoch*. As long as it holds, an event that was given stays where it is. When events
//!   may have been lost, or numbers may come again for others, the epoch changes, and each node begins anew: its subscribers
//!   are told a gap.
//! - **Bounds** are at least: more may be kept than was asked for, never less.
//! - **Errors.** A publish fails as *not sent*, or as *unknown*: it may be there, now or later. The crate repeats nothing by
//!   itself. An idempotency key makes it safe for the caller to repeat.
//! - **Begin.** A node says [`Feed::synced_through`] once it has given all there is, and from then on once a second or more often.
//!   Until the first, whoever subscribes waits.
//! - **Keys.** A node has the newest event of each key: either all of them from [`Feed::begin_epoch`] on, or, after
//!   [`Feed::find_keys_when_asked`], those of a topic when they are [wanted](Feed::wanted).
//! - **Bounds of an event.** What is larger than a hub keeps is skipped by the hub, and keeps its place in the order.
//! - **Away.** While what stands behind it cannot be reached, a backplane says so by [`Feed::link`], and streams stay open.

#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "test-util")]
pub mod suite;

pub use crate::{
    hub::{
        replica::contract::{Backplane, BoxFuture, Feed, Incoming, Outgoing, event_id},
        state::members::TopicPresence,
    },
    observe::link::{Link, LinkObserver},
};
