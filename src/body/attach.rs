//! Provides the marker by which a layer recognizes a stream of this crate's.
//!
//! A response whose body is this crate's has a marker among its extensions. A layer that finds one adds no second prelude and
//! no second heartbeat. It attaches its limits, checks of access, lifetime and observers to the stream's control block, from
//! which the body takes them with its next poll.

use crate::observe::dispatch;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::{access::AccessCheck, observe::Observer, streams::control::StreamControl};

/// The settings of a layer that a stream has passed.
pub(crate) trait MetLayer: fmt::Debug + Send + Sync {
    fn observers(&self) -> &[Arc<dyn Observer>];
    fn access(&self) -> Option<&Arc<AccessCheck>>;
}

/// A marker in a response's extensions: its body is this crate's.
#[derive(Debug, Clone)]
pub(crate) enum StreamMarker {
    /// A complete body of a few bytes: a refusal.
    Whole,
    /// A stream.
    Stream(MarkedStream),
}

/// A stream, and the layers that it has passed.
#[derive(Debug, Clone)]
#[expect(unnameable_types, reason = "sealed")]
pub struct MarkedStream {
    /// Dangles once the body is dropped.
    control: Weak<StreamControl>,
    /// The layer whose settings are below the stream's own. `None` for a response of a handler that has passed no layer yet.
    innermost: Option<Arc<dyn MetLayer>>,
    /// Further layers, which have tightened the limits of the stream.
    outer: Vec<Arc<dyn MetLayer>>,
}

impl StreamMarker {
    /// Creates the marker of a stream that has passed this layer, or none.
    pub(crate) fn of(control: &Arc<StreamControl>, layer: Option<Arc<dyn MetLayer>>) -> Self {
        let control = Arc::downgrade(control);
        Self::Stream(MarkedStream { control, innermost: layer, outer: Vec::new() })
    }
}

impl MarkedStream {
    /// Returns the control block of the stream. Returns `None` if its body was dropped: the response has another body then.
    pub(crate) fn control(&self) -> Option<Arc<StreamControl>> {
        self.control.upgrade()
    }

    /// Returns whether the stream has passed no layer yet.
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

    /// Adds a layer that the stream has passed.
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
