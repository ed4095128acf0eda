//! Observers: their callbacks, and the order of them.

mod observer;
mod reasons;
mod several;
