//! The promises of the crate, tested without a socket: services are called, bodies are polled, time is paused.

#![cfg(test)]

mod access;
mod answer;
#[cfg(feature = "axum")]
mod axum;
mod backplane;
mod body;
mod event;
mod fuzzing;
mod hub;
mod middleware;
mod negotiate;
mod observe;
mod promises;
mod readme;
mod settings;
mod sizes;
mod streams;
mod support;
#[cfg(feature = "test-util")]
mod testing;
