//! Shutdown of processes with many open connections.
#![cfg(test)]

mod browser;
mod draining;
mod resumed;
mod servers;
mod thousand;
