//! The layer: commit, heads, passthrough, stacking.

mod commit;
#[cfg(feature = "axum")]
mod handler_refusals;
mod head;
mod passthrough;
mod stacked;
