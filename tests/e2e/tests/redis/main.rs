//! Hubs on a real Redis: the contract, and what is promised when something happens to it.

#![cfg(test)]

mod contract;
mod faults;
mod nodes;
