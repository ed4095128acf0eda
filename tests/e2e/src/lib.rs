//! Shared parts of the end-to-end tests: servers on loopback, certificates, and processes that end with their test.

pub mod aging;
pub mod browser;
pub mod certificate;
pub mod client;
pub mod document;
pub mod example;
pub mod flat;
pub mod process;
pub mod program;
pub mod redis;
pub mod server;
pub mod site;
pub mod socket;
