//! The example `production`, as a process of its own: logins, limits, settings, what an operator sees, and how it leaves.
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
