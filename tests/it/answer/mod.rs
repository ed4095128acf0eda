//! Sources of events: channels and intervals.

mod boxed;
mod channel;
mod interval;
