//! What the end-to-end tests share: servers on loopback, certificates, and processes that end with their test.

pub mod example;
pub mod process;
