//! Topics over real sockets: clients that are cut, that come back, that do not read, and that read too slowly.

mod back;
mod slow;
mod support;
