//! How a layer finds a stream that is its own already, and gives it what the layer has.
//!
//! A response whose body is one of this crate's says so among its extensions. A layer that meets one adds no second
//! prelude and no second heartbeat. One that was made without a layer, by a handler, has a slot as well, which the layer
//! fills before the body's first poll.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{StreamSettings, access::Checks, body::record::Record};

/// Says in a response's extensions that its body is a stream of this crate's.
#[derive(Debug, Clone)]
pub(crate) struct Mark(Option<Weak<Slot>>);

/// What a layer gives to a stream that was made without it.
pub(crate) enum Attach {
    /// What a layer has for the stream, its settings below the stream's own.
    Layer(Layered),
    /// The same, of a layer whose stream has begun without it and goes on with it.
    Spliced(Layered),
}

/// What a layer has for one stream.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) settings: Arc<StreamSettings>,
    pub(crate) record: Arc<Record>,
    pub(crate) checks: Option<Box<Checks>>,
}

/// Where a layer leaves it.
#[derive(Debug, Default)]
#[expect(unnameable_types, reason = "sealed")]
pub struct Slot(Mutex<Option<Attach>>);

impl Mark {
    /// A layer has seen to this stream.
    pub(crate) fn done() -> Self {
        Self(None)
    }

    /// No layer has seen to this stream yet.
    pub(crate) fn open(slot: &Arc<Slot>) -> Self {
        Self(Some(Arc::downgrade(slot)))
    }

    /// The slot, if it is still to be filled, and the body is still there. Filled once.
    pub(crate) fn take(&mut self) -> Option<Arc<Slot>> {
        self.0.take()?.upgrade()
    }
}

impl Slot {
    pub(crate) fn fill(&self, attach: Attach) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(attach);
    }

    pub(crate) fn take(&self) -> Option<Attach> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layer(_) => "Layer",
            Self::Spliced(_) => "Spliced",
        })
    }
}
