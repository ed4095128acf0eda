//! Requests and refusals: `Accept`, `Last-Event-ID`, status codes.

mod accept;
mod last_event_id;
mod refusal;
