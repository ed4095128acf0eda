//! Hubs on a real Redis: the contract, and the promises for each failure.

#![cfg(test)]

mod cluster;
mod contract;
mod cost;
mod deleted;
mod example;
mod faults;
mod keyed;
mod kills;
mod large;
mod leaving;
mod malformed;
mod nodes;
mod old;
mod others;
mod positions;
mod presence;
mod processes;
mod refused;
mod tasks;
mod tls;
