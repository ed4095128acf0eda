//! One history of a hub: its epoch, and what its ids begin with.
//!
//! A hub that stands by itself has one. One that is fed from outside begins a new one when what feeds it has lost its own:
//! then no id from before means anything any more, and every subscriber is told a gap.

use super::position::Position;

/// What positions are of.
#[derive(Debug)]
pub(crate) struct Era {
    /// The first is 0.
    pub(crate) number: u64,
    epoch: u64,
    /// What stands before the sequence on an id line.
    prefix: Box<[u8]>,
}

impl Era {
    pub(crate) fn new(number: u64, epoch: u64) -> Self {
        let first = Position { epoch, sequence: 0 }.to_string();
        let prefix = format!("id: {}", first.trim_end_matches('0')).into_bytes().into();
        Self { number, epoch, prefix }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }
}
