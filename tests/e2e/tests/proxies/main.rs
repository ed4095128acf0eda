//! nginx, haproxy, Apache and Varnish in front, with the lines in `docs/proxies.md`, which are read out of it: what comes through, and when.
//!
//! Each prints how long events were on the way; the document's table has these numbers.
#![expect(clippy::panic, reason = "a test tells so what is wrong")]

mod apache;
mod client;
mod front;
mod haproxy;
mod link;
mod nginx;
mod origin;
mod varnish;
