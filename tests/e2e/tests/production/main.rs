//! The example `production`, as a separate process: logins, limits, settings, logs and metrics, and its shutdown.
#![cfg(test)]

mod health;
mod leaving;
mod limits;
mod login;
mod logs;
mod prometheus;
mod server;
mod settings;
mod times;
mod wire;
