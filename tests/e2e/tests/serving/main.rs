//! The lines of `docs/serving.md`: options of a socket, flat writes, and connections that end after an age.
#![cfg(test)]

mod aging;
mod moving;
mod tonic;
#[cfg(target_os = "linux")]
mod unread;
mod writes;
