//! The heads of requests and responses: negotiation, resumption, refusal.
//!
//! Pure.

pub(crate) mod accept;
pub(crate) mod headers;
pub(crate) mod last_event_id;
pub(crate) mod refusal;
pub(crate) mod request_head;
