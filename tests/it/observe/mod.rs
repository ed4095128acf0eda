//! Observers: what they are called with, and in which order.

mod observer;
mod reasons;
mod several;
