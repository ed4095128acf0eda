//! Processes that are told to stop with many connections open, and how they leave.
#![cfg(test)]

mod browser;
mod draining;
mod resumed;
mod servers;
mod thousand;
