//! One place: a request or a stream, its keys, and how far it has come.

use std::sync::Arc;

use super::waiter::Turn;
use crate::{access::Withdrawn, body::record::Record};

/// A request that may be answered with a stream, or a stream.
#[derive(Debug)]
pub(super) struct Place {
    /// Tells places apart that had the same number.
    pub(super) serial: u64,
    /// How many permits there are for it.
    pub(super) permits: usize,
    pub(super) key: Option<Key>,
    /// The keys that further layers have given it.
    pub(super) more_keys: Vec<Key>,
    pub(super) is_counted: bool,
    pub(super) stage: Stage,
    pub(super) was_stalled: bool,
    /// How to wake the request while it waits for room.
    pub(super) turn: Option<Arc<Turn>>,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) is_counted: bool,
    /// The limit of rate has been asked.
    pub(super) is_rated: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// A request without an answer. If its key was ended meanwhile, the answer is too late.
    Asked(Option<Withdrawn>),
    /// The head went out without an answer.
    Late(Arc<Record>),
    Open(Arc<Record>),
}

impl Place {
    /// A tentative place.
    pub(super) fn new(serial: u64, key: Option<Key>, more_keys: Vec<Key>, stage: Stage) -> Self {
        let (is_counted, was_stalled) = (false, false);
        Self { serial, permits: 1, key, more_keys, is_counted, stage, was_stalled, turn: None }
    }

    pub(super) fn add_key(&mut self, key: &Arc<str>) {
        if self.has_key(key) {
            return;
        }
        let key = Key::new(Arc::clone(key));
        match self.key {
            None => self.key = Some(key),
            Some(_) => self.more_keys.push(key),
        }
    }

    pub(super) fn record(&self) -> Option<&Arc<Record>> {
        match &self.stage {
            Stage::Asked(_) => None,
            Stage::Late(record) | Stage::Open(record) => Some(record),
        }
    }

    pub(super) fn has_key(&self, key: &str) -> bool {
        self.keys().any(|own| &*own.name == key)
    }

    /// Notes that its key was ended, should it open.
    pub(super) fn end(&mut self, why: &Withdrawn) {
        if let Stage::Asked(ended) = &mut self.stage {
            ended.get_or_insert_with(|| why.clone());
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_counted && self.keys().all(|key| key.is_counted)
    }

    pub(super) fn shares_key(&self, other: &Self) -> bool {
        self.keys().any(|key| other.has_key(&key.name))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.key.iter().chain(&self.more_keys)
    }

    pub(super) fn keys_mut(&mut self) -> impl Iterator<Item = &mut Key> {
        self.key.iter_mut().chain(&mut self.more_keys)
    }
}

impl Key {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, is_counted: false, is_rated: false }
    }
}
