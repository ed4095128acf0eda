//! Topics: publishing, reading, gaps, presence.

mod client;
mod closing;
mod errors;
mod gaps;
mod lineage;
mod lingering;
mod long_schedules;
mod model;
mod positions;
mod presence;
mod reader;
mod reading;
mod registry;
mod retention;
mod runtimes;
mod schedules;
mod simulation;
pub(crate) mod support;
mod wakers;
