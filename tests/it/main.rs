//! What the crate promises, by promise.

mod hub;
