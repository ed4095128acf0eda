//! Conformance tests for the [contract](crate::backplane) of a backplane (feature `test-util`).
//!
//! Each check builds hubs on several nodes of a new cluster and compares what publishers and subscribers observe.
//!
//! ```
//! use tower_sse::backplane::{Backplane, conformance};
//! # async fn shown<B: Backplane>(start_server: impl Fn() -> String, node: impl Fn(&str) -> B) {
//! // The outer closure creates a cluster for each check, the inner one a node of it for each call.
//! conformance::run(|| {
//!     let server = start_server();
//!     let node = &node;
//!     move || node(&server)
//! })
//! .await;
//! # }
//! ```
//!
//! The checks take real time if the backplane does. Each wait is limited to two minutes, which only a failure reaches. A
//! current-thread runtime is enough.

pub(crate) mod checks;
mod fields;
pub(crate) mod reader;

use crate::hub::replica::contract::Backplane;

/// Runs every check, each on a cluster of its own: `new_cluster` creates an empty one and returns the constructor of its nodes.
///
/// # Panics
///
/// If the backplane violates the contract. The message names the violated part.
pub async fn run<B, N>(mut new_cluster: impl FnMut() -> N)
where
    B: Backplane,
    N: FnMut() -> B,
{
    checks::nodes_share_one_order_and_its_acknowledged_ids(&mut new_cluster()).await;
    checks::events_of_one_publish_are_adjacent(&mut new_cluster()).await;
    checks::client_resumes_on_another_node(&mut new_cluster()).await;
    checks::late_node_loads_retained_events(&mut new_cluster()).await;
    checks::subscriber_before_load_misses_nothing(&mut new_cluster()).await;
    checks::cursor_ahead_of_its_node_waits_and_ahead_of_all_is_a_gap(&mut new_cluster()).await;
    checks::newest_event_of_a_key_is_on_each_node_until_removal(&mut new_cluster()).await;
    checks::keys_are_found_in_more_topics_than_a_hub_holds(&mut new_cluster()).await;
    checks::closed_topic_ends_on_every_node(&mut new_cluster()).await;
    fields::events_keep_their_fields(&mut new_cluster()).await;
    checks::idempotency_key_publishes_once(&mut new_cluster()).await;
    checks::idempotency_key_belongs_to_its_topic(&mut new_cluster()).await;
    checks::publish_succeeds_outside_a_runtime_and_when_dropped(&mut new_cluster()).await;
    checks::members_are_present_on_every_node_until_theirs_leaves(&mut new_cluster()).await;
    checks::oversized_event_evicts_nothing(&mut new_cluster()).await;
}
