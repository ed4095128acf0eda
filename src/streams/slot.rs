//! One slot: a request that may be answered with a stream, its keys, and its streams.

use std::{sync::Arc, time::Duration};

use super::{queued_waker::QueuedWaker, shares::Shares};
use crate::access::AccessRevoked;

/// The slot of a request that may be answered with a stream of type `S`, and of these streams.
#[derive(Debug)]
pub(super) struct Slot<S: ?Sized> {
    /// A number that no other slot has had, also none with the same id.
    pub(super) serial: u64,
    /// The number of permits for the slot.
    pub(super) permits: usize,
    pub(super) key: Option<Key>,
    /// The keys that further layers have added.
    pub(super) more_keys: Vec<Key>,
    pub(super) is_counted: bool,
    /// The shares that inner layers have.
    pub(super) shares: Shares,
    /// The stream that answers the request, until it is over.
    stream: Option<Arc<S>>,
    /// Further streams of the request: of a layer whose head went out without an answer, and of one that reads the
    /// stream of an inner layer.
    more_streams: Vec<Arc<S>>,
    /// The reason for which a key of the slot was ended. It ends streams that open later, too.
    pub(super) revoked: Option<AccessRevoked>,
    /// The waker of the request while it is queued.
    pub(super) waker: Option<Arc<QueuedWaker>>,
    /// The time for which the request has waited, in this slot and in those that inner layers have taken for it.
    pub(super) waited: Duration,
}

/// The index of a slot in its table. It is reused once the slot is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotId(pub(super) usize);

/// A reference to a share of a slot.
#[derive(Debug, Clone)]
pub(super) struct ShareRef {
    pub(super) slot: SlotId,
    /// The serial of the slot.
    pub(super) serial: u64,
    /// The id of the share.
    pub(super) id: u64,
    /// The number of keys that the slot had when it was shared. Later ones belong to other requests.
    pub(super) keys: usize,
}

/// A key of a slot, by which streams are limited and ended.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) is_counted: bool,
    /// Set if the rate limit has admitted the key.
    pub(super) is_rated: bool,
}

impl<S: ?Sized> Slot<S> {
    /// Creates a tentative slot, which has no serial yet.
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
            revoked: None,
            waker: None,
            waited: Duration::ZERO,
        }
    }

    /// Adds a key, unless the slot has it already.
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
    pub(super) fn streams(&self) -> impl Iterator<Item = &Arc<S>> {
        self.stream.iter().chain(&self.more_streams)
    }

    /// Adds a stream, unless the slot has it already.
    pub(super) fn add(&mut self, stream: Arc<S>) {
        if self.streams().any(|other| Arc::ptr_eq(other, &stream)) {
            return;
        }
        match self.stream {
            None => self.stream = Some(stream),
            Some(_) => self.more_streams.push(stream),
        }
    }

    /// Removes the stream with this id.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<Arc<S>> {
        let is_it = |stream: &Arc<S>| StreamId::of(stream) == id;
        let more = self.more_streams.iter().position(is_it).map(|at| self.more_streams.swap_remove(at));
        more.or_else(|| self.stream.take_if(|stream| is_it(stream)))
    }

    pub(super) fn has_key(&self, key: &str) -> bool {
        self.keys().any(|own| &*own.name == key)
    }

    /// Ends streams that open later for this reason, unless there is a reason already.
    pub(super) fn revoke(&mut self, cause: &AccessRevoked) {
        self.revoked.get_or_insert_with(|| cause.clone());
    }

    /// Returns `true` if the slot and all of its keys are counted against the limits.
    pub(super) fn is_admitted(&self) -> bool {
        self.is_counted && self.keys().all(|key| key.is_counted)
    }

    /// Returns `true` if the two slots have a key in common.
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

/// The identity of a stream among those of a slot. It is valid for as long as the slot has the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamId(usize);

impl StreamId {
    pub(super) fn of<S: ?Sized>(stream: &Arc<S>) -> Self {
        Self(Arc::as_ptr(stream).cast::<()>().addr())
    }
}

impl Key {
    fn new(name: Arc<str>) -> Self {
        Self { name, is_counted: false, is_rated: false }
    }
}
