//! Whether a backplane keeps the [contract](crate::backplane), shown by hubs on several of its nodes (feature `test-util`).
//!
//! ```
//! use tower_sse::backplane::{Backplane, suite};
//! # async fn shown<B: Backplane>(start_server: impl Fn() -> String, node: impl Fn(&str) -> B) {
//! // What stands behind it, new and empty for each of the suite's checks, and a node each time it is asked.
//! suite::run(|| {
//!     let server = start_server();
//!     let node = &node;
//!     move || node(&server)
//! })
//! .await;
//! # }
//! ```
//!
//! The suite takes real time where a backplane does; each wait has a limit of two minutes, which only a failure
//! meets. It needs no runtime of many threads.

pub(crate) mod checks;
pub(crate) mod reader;

use crate::hub::replica::contract::Backplane;

/// Runs each check on a backplane of its own: `fresh` begins one and gives what makes its nodes.
///
/// # Panics
///
/// When the contract is broken; what it says is which part.
pub async fn run<B, N>(mut fresh: impl FnMut() -> N)
where
    B: Backplane,
    N: FnMut() -> B,
{
    checks::every_node_has_one_order_with_the_ids_that_were_acknowledged(&mut fresh()).await;
    checks::events_of_one_call_are_next_to_each_other(&mut fresh()).await;
    checks::a_client_goes_on_at_another_node(&mut fresh()).await;
    checks::a_node_that_begins_later_has_what_is_kept(&mut fresh()).await;
    checks::a_client_that_comes_before_its_node_has_begun_misses_nothing(&mut fresh()).await;
    checks::a_client_that_is_ahead_of_its_node_waits_and_one_ahead_of_all_is_told(&mut fresh()).await;
    checks::a_key_has_its_newest_event_on_each_node_until_it_is_removed(&mut fresh()).await;
    checks::keys_are_found_however_many_topics_have_some(&mut fresh()).await;
    checks::a_topic_ends_on_every_node(&mut fresh()).await;
    checks::one_idempotency_key_publishes_once(&mut fresh()).await;
    checks::an_idempotency_key_belongs_to_its_topic(&mut fresh()).await;
    checks::what_is_published_without_a_runtime_or_not_waited_for_is_there(&mut fresh()).await;
    checks::members_are_seen_on_every_node_until_theirs_is_gone(&mut fresh()).await;
    checks::an_event_that_is_too_large_for_a_node_takes_nothing_from_it(&mut fresh()).await;
}
