//! Topics over real sockets: clients that are cut, that reconnect, that do not read, and that read too slowly.

mod back;
mod slow;
mod support;
