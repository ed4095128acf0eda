//! A stream's settings: heartbeats, comments, `retry:`, early ends.

mod comments;
mod early_end;
mod heartbeat;
mod retry;
