//! The mark by which a layer finds a stream that is this crate's already, and what a layer asks of such a stream.
//!
//! A response whose body is one of this crate's says so among its extensions. A layer that meets one adds no second
//! prelude and no second heartbeat, but its limits, checks of access, lifetime and observers: it attaches them to the record
//! of the stream, and the body takes them with its first poll.

use std::sync::{Arc, Weak};

use http::{Request, Version};
use tokio::time::Instant;

use crate::{
    StreamSettings,
    access::{Access, Checks},
    body::record::Record,
    layer_settings::LayerSettings,
    observe,
    observe::Observer,
    refusal,
};

/// Says in a response's extensions that its body is this crate's.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    /// A few bytes that are complete: a refusal.
    Whole,
    /// A stream.
    Stream(Marked),
}

/// A stream as the layers around it find it.
#[derive(Debug, Clone)]
#[expect(unnameable_types, reason = "sealed")]
pub struct Marked {
    /// Lives as long as the body does.
    record: Weak<Record>,
    /// The layer whose settings are below the stream's own. `None` for a response of a handler that has met no layer yet.
    innermost: Option<Arc<LayerSettings>>,
    /// Further layers, which have tightened what the stream may do.
    outer: Vec<Arc<LayerSettings>>,
}

/// The demands that layers make of a stream before its first poll.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The settings of the innermost layer, below the stream's own.
    pub(crate) below: Option<Arc<StreamSettings>>,
    /// The client, as that layer knows it.
    pub(crate) client: Client,
    pub(crate) tighter: Tighter,
    pub(crate) checks: Option<Box<Checks>>,
    /// The head is out, with a prelude: the stream goes on with another one.
    pub(crate) has_begun: bool,
}

/// The properties of a client that its request tells. Without a layer they are not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Client {
    /// A clean end means to the client that the answer is complete, not that it may come back.
    pub(crate) reads_answers: bool,
    /// The client may count frames that are small and not read yet.
    pub(crate) counts_frames: bool,
}

/// The demands that outer layers make of a stream whatever its own settings are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tighter {
    /// The end of the shortest lifetime.
    pub(crate) ends_at: Option<Instant>,
    /// A drain is not to wait for the stream.
    pub(crate) leaves: bool,
    /// When the head went out, if that was before the stream was made.
    pub(crate) opened: Option<Instant>,
}

impl Client {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let counts_frames = request.version() == Version::HTTP_2;
        Self { reads_answers: !refusal::reads_streams(request.method()), counts_frames }
    }
}

impl Mark {
    /// A stream that has met this layer, or none.
    pub(crate) fn of(record: &Arc<Record>, layer: Option<&Arc<LayerSettings>>) -> Self {
        let record = Arc::downgrade(record);
        Self::Stream(Marked { record, innermost: layer.map(Arc::clone), outer: Vec::new() })
    }
}

impl Marked {
    /// The record of the stream. `None` if the body is gone, and so whatever the response has is not it.
    pub(crate) fn record(&self) -> Option<Arc<Record>> {
        self.record.upgrade()
    }

    /// Returns whether no layer has met the stream yet.
    pub(crate) fn is_bare(&self) -> bool {
        self.innermost.is_none()
    }

    /// Returns whether the stream has this observer already.
    pub(crate) fn has_observer(&self, observer: &Arc<dyn Observer>) -> bool {
        self.layers().flat_map(|layer| &layer.observers).any(|other| observe::is_same(other, observer))
    }

    /// Returns whether the stream has this check already.
    pub(crate) fn has_access(&self, access: &Arc<Access>) -> bool {
        self.layers().filter_map(|layer| layer.access.as_ref()).any(|other| other.is_same(access))
    }

    /// Notes that the stream has met a layer.
    pub(crate) fn meet(&mut self, layer: &Arc<LayerSettings>) {
        if self.is_bare() {
            self.innermost = Some(Arc::clone(layer));
        } else {
            self.outer.push(Arc::clone(layer));
        }
    }

    fn layers(&self) -> impl Iterator<Item = &LayerSettings> {
        self.innermost.iter().chain(&self.outer).map(|layer| &**layer)
    }
}

impl Tighter {
    pub(crate) fn is_any(&self) -> bool {
        self.ends_at.is_some() || self.leaves || self.opened.is_some()
    }

    /// Both at once.
    pub(crate) fn tighten(&mut self, ends_at: Option<Instant>, leaves: bool) {
        self.ends_at = [self.ends_at, ends_at].into_iter().flatten().min();
        self.leaves |= leaves;
    }
}
