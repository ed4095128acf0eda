//! What the crate promises, shown without a socket: services called, bodies polled, time paused.

#![cfg(test)]

#[cfg(feature = "axum")]
mod axum_handlers;
mod backplane;
mod body_error;
mod channel;
mod comments;
mod commit;
mod decoding;
mod decorated;
mod early_end;
mod encoding;
mod ends;
mod frames;
mod fuzzing;
#[cfg(feature = "axum")]
mod handlers_refuse;
mod head;
mod heartbeat;
mod hub;
mod inside;
#[cfg(feature = "json")]
mod json;
mod naive;
mod negotiation;
mod observer;
mod pace;
mod promises;
mod readme;
mod refusals;
mod resume;
mod sizes;
mod splits;
mod stacked;
mod streams;
mod support;
#[cfg(feature = "json")]
mod tagged;
mod waits;
