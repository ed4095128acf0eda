//! Chromium and Firefox as clients of the layer's streams, over HTTP/1.1 and over HTTP/2.
//!
//! Each of the four shows one page once, whose script runs all scenarios and reports what it saw; the tests look at the
//! reports, and at what the server saw. Nothing waits for a time to be over but the browsers' own `retry`.

#![expect(clippy::panic, reason = "a test tells so what is wrong")]

mod gap;
mod promises;
mod recipes;
mod reopen;
mod session;
mod site;
mod streams;
mod visits;
