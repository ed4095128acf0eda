//! nginx, haproxy, Apache and Varnish in front, with the lines that are read from `docs/proxies.md`: what passes, and when.
//!
//! Each test prints the delays of events; the document's table has these numbers.
#![expect(clippy::panic, reason = "a test reports a failure by a panic")]

mod apache;
mod client;
mod front;
mod haproxy;
mod link;
mod nginx;
mod origin;
mod varnish;
