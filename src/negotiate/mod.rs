//! The heads of requests and responses.
//!
//! Pure.

pub(crate) mod accept;
pub(crate) mod headers;
pub(crate) mod last_event_id;
pub(crate) mod refusal;
pub(crate) mod request_head;
