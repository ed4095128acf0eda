//! One place: a request or a stream, its keys, and how far it has come.

use std::{sync::Arc, time::Duration};

use super::control::StreamControl;
use super::{shares::Shares, waiter::Turn};
use crate::access::AccessRevoked;

/// A request that may be answered with a stream, or a stream.
#[derive(Debug)]
pub(super) struct Slot {
    /// Tells places apart that had the same number.
    pub(super) serial: u64,
    /// The number of permits that there are for it.
    pub(super) permits: usize,
    pub(super) key: Option<Key>,
    /// The keys that further layers have given it.
    pub(super) more_keys: Vec<Key>,
    pub(super) is_counted: bool,
    /// The parts that layers inside have in it.
    pub(super) shares: Shares,
    /// The stream that the request was answered with, until it is over.
    stream: Option<Arc<StreamControl>>,
    /// Further streams of the request: of a layer whose head went out without an answer, and of one that reads the stream of
    /// a layer inside.
    more_streams: Vec<Arc<StreamControl>>,
    /// The reason for which its key was ended. A stream that opens afterwards is too late.
    pub(super) ended: Option<AccessRevoked>,
    /// The means to wake the request while it waits for room.
    pub(super) turn: Option<Arc<Turn>>,
    /// The time that the request has waited for room, here and in the places that layers inside have taken for it.
    pub(super) waited: Duration,
}

/// A share in a place, by which it is found.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) number: usize,
    /// The serial of the place.
    pub(super) serial: u64,
    /// The serial of the share.
    pub(super) id: u64,
    /// The number of keys that the place had then. Those that are added later are of other requests.
    pub(super) keys: usize,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) is_counted: bool,
    /// The limit of rate has been asked.
    pub(super) is_rated: bool,
}

impl Slot {
    /// A tentative place, which has no serial yet.
    pub(super) fn new(mut keys: impl Iterator<Item = Arc<str>>) -> Self {
        Self {
            serial: 0,
            permits: 1,
            key: keys.next().map(Key::new),
            more_keys: keys.map(Key::new).collect(),
            is_counted: false,
            shares: Shares::default(),
            stream: None,
            more_streams: Vec::new(),
            ended: None,
            turn: None,
            waited: Duration::ZERO,
        }
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

    /// Returns the streams of the request.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<StreamControl>> {
        self.stream.iter().chain(&self.more_streams)
    }

    /// Adds a stream, unless it is there already.
    pub(super) fn add(&mut self, record: &Arc<StreamControl>) {
        if self.records().any(|other| Arc::ptr_eq(other, record)) {
            return;
        }
        match self.stream {
            None => self.stream = Some(Arc::clone(record)),
            Some(_) => self.more_streams.push(Arc::clone(record)),
        }
    }

    /// Removes the stream with this identity.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<Arc<StreamControl>> {
        let is_it = |record: &Arc<StreamControl>| StreamId::of(record) == stream;
        let more = self.more_streams.iter().position(is_it).map(|at| self.more_streams.swap_remove(at));
        more.or_else(|| self.stream.take_if(|record| is_it(record)))
    }

    pub(super) fn has_key(&self, key: &str) -> bool {
        self.keys().any(|own| &*own.name == key)
    }

    /// Notes that its key was ended, for streams that open later.
    pub(super) fn end(&mut self, why: &AccessRevoked) {
        self.ended.get_or_insert_with(|| why.clone());
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

/// The identity of a stream among those of a place. It holds for as long as the place has the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamId(usize);

impl StreamId {
    pub(super) fn of(record: &Arc<StreamControl>) -> Self {
        Self(Arc::as_ptr(record).addr())
    }
}

impl Key {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, is_counted: false, is_rated: false }
    }
}
