//! The mark by which a layer finds a stream that is this crate's already, and what a layer asks of such a stream.
//!
//! A response whose body is one of this crate's says so among its extensions. A layer that meets one adds no second
//! prelude and no second heartbeat, but its limits, checks of access, lifetime and observers: it attaches them to the record
//! of the stream, and the body takes them with its first poll.

use crate::observe::dispatch;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::{access::AccessCheck, observe::Observer, streams::control::StreamControl};

/// A layer that a stream has met.
pub(crate) trait MetLayer: fmt::Debug + Send + Sync {
    fn observers(&self) -> &[Arc<dyn Observer>];
    fn access(&self) -> Option<&Arc<AccessCheck>>;
}

/// Says in a response's extensions that its body is this crate's.
#[derive(Debug, Clone)]
pub(crate) enum StreamMarker {
    /// A few bytes that are complete: a refusal.
    Whole,
    /// A stream.
    Stream(MarkedStream),
}

/// A stream as the layers around it find it.
#[derive(Debug, Clone)]
#[expect(unnameable_types, reason = "sealed")]
pub struct MarkedStream {
    /// Lives as long as the body does.
    control: Weak<StreamControl>,
    /// The layer whose settings are below the stream's own. `None` for a response of a handler that has met no layer yet.
    innermost: Option<Arc<dyn MetLayer>>,
    /// Further layers, which have tightened what the stream may do.
    outer: Vec<Arc<dyn MetLayer>>,
}

impl StreamMarker {
    /// A stream that has met this layer, or none.
    pub(crate) fn of(control: &Arc<StreamControl>, layer: Option<Arc<dyn MetLayer>>) -> Self {
        let control = Arc::downgrade(control);
        Self::Stream(MarkedStream { control, innermost: layer, outer: Vec::new() })
    }
}

impl MarkedStream {
    /// The record of the stream. `None` if the body is gone, and so whatever the response has is not it.
    pub(crate) fn control(&self) -> Option<Arc<StreamControl>> {
        self.control.upgrade()
    }

    /// Returns whether no layer has met the stream yet.
    pub(crate) fn is_bare(&self) -> bool {
        self.innermost.is_none()
    }

    /// Returns whether the stream has this observer already.
    pub(crate) fn has_observer(&self, observer: &Arc<dyn Observer>) -> bool {
        self.layers().flat_map(MetLayer::observers).any(|other| dispatch::is_same(other, observer))
    }

    /// Returns whether the stream has this check already.
    pub(crate) fn has_access(&self, access: &Arc<AccessCheck>) -> bool {
        self.layers().filter_map(MetLayer::access).any(|other| other.is_same(access))
    }

    /// Notes that the stream has met a layer.
    pub(crate) fn add_layer(&mut self, layer: Arc<dyn MetLayer>) {
        if self.is_bare() {
            self.innermost = Some(layer);
        } else {
            self.outer.push(layer);
        }
    }

    fn layers(&self) -> impl Iterator<Item = &dyn MetLayer> {
        self.innermost.iter().chain(&self.outer).map(|layer| &**layer)
    }
}
