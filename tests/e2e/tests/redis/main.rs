//! Hubs on a real Redis: the contract, and what is promised when something happens to it.

#![cfg(test)]

mod cluster;
mod contract;
mod cost;
mod example;
mod faults;
mod kills;
mod nodes;
mod others;
mod presence;
mod processes;
mod refused;
mod tls;
