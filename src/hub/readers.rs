//! How far each subscriber of a topic has come, and which publishers wait for them.
//!
//! Pure, under the topic's lock. A subscriber's number moves when it comes for more: until then, what it was given last
//! counts as unread.

use std::task::Waker;

use slab::Slab;

/// The cursors of a topic's subscribers, and the publishers that wait for the slowest.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    cursors: Slab<u64>,
    waiting: Slab<Waiting>,
}

/// A publisher that waits until all have come so far.
#[derive(Debug)]
struct Waiting {
    through: u64,
    /// How many have not.
    behind: usize,
    waker: Option<Waker>,
}

impl Readers {
    pub(crate) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// A subscriber comes, who has everything up to this cursor.
    pub(crate) fn join(&mut self, cursor: u64) -> usize {
        for waiting in self.waiting.iter_mut().map(|(_, waiting)| waiting) {
            waiting.behind += usize::from(cursor < waiting.through);
        }
        self.cursors.insert(cursor)
    }

    /// A subscriber has come further. Gives the publishers to wake.
    pub(crate) fn advance(&mut self, reader: usize, cursor: u64) -> Vec<Waker> {
        match self.cursors.get_mut(reader) {
            Some(old) => {
                let old = std::mem::replace(old, cursor);
                self.passed(old, cursor)
            }
            None => Vec::new(),
        }
    }

    /// A subscriber leaves. Gives the publishers to wake.
    pub(crate) fn leave(&mut self, reader: usize) -> Vec<Waker> {
        let cursor = self.cursors.try_remove(reader);
        cursor.map_or_else(Vec::new, |cursor| self.passed(cursor, u64::MAX))
    }

    /// A publisher waits until all have everything up to here. An error, with the waker to drop: they have.
    pub(crate) fn wait(&mut self, through: u64, waker: Waker) -> Result<usize, Waker> {
        let behind = self.cursors.iter().filter(|&(_, &cursor)| cursor < through).count();
        if behind == 0 {
            return Err(waker);
        }
        Ok(self.waiting.insert(Waiting { through, behind, waker: Some(waker) }))
    }

    /// A publisher looks again. Gives back a waker to drop, its own or the old one; an error once nobody is behind.
    pub(crate) fn wait_on(&mut self, publisher: usize, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.waiting.get_mut(publisher) {
            Some(waiting) if waiting.behind > 0 => Ok(waiting.waker.replace(waker)),
            _ => Err(waker),
        }
    }

    /// A publisher waits no more.
    pub(crate) fn give_up(&mut self, publisher: usize) -> Option<Waker> {
        self.waiting.try_remove(publisher)?.waker
    }

    /// Nobody has to be waited for any more.
    pub(crate) fn release_producers(&mut self) -> Vec<Waker> {
        let waiting = self.waiting.iter_mut().map(|(_, waiting)| waiting);
        waiting
            .filter_map(|waiting| {
                waiting.behind = 0;
                waiting.waker.take()
            })
            .collect()
    }

    fn passed(&mut self, from: u64, to: u64) -> Vec<Waker> {
        let waiting = self.waiting.iter_mut().map(|(_, waiting)| waiting);
        let passed = waiting.filter(|waiting| from < waiting.through && waiting.through <= to);
        passed
            .filter_map(|waiting| {
                waiting.behind = waiting.behind.saturating_sub(1);
                if waiting.behind == 0 { waiting.waker.take() } else { None }
            })
            .collect()
    }
}
