//! Chromium and Firefox as clients of the layer's streams, over HTTP/1.1 and over HTTP/2.
//!
//! Each of the four shows one page once, whose script runs all scenarios and reports its events; the tests check the
//! reports, and the requests that the server received. No test waits for a time, except for the browsers' own `retry`.

#![expect(clippy::panic, reason = "a test reports a failure by a panic")]

mod gap;
mod promises;
mod recipes;
mod reopen;
mod session;
mod site;
mod streams;
mod visits;
