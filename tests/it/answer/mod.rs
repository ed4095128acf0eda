//! Sources of events: channels and intervals.

mod channel;
mod interval;
