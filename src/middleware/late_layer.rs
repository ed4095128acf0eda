//! Layers whose heads are out without an answer, as a layer inside finds them.
//!
//! Such a layer has a stream already, and its observers have been told of it. If a layer inside answers it, that stream goes on
//! as the inner one, with its observers: an observer of both must not be told of a second stream.

use crate::observe::dispatch;
use std::{
    fmt, iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Request;

use super::settings::LayerSettings;
use crate::observe::Observer;

/// A layer that may be late, in a request's extensions.
#[derive(Clone)]
pub(crate) struct LateLayer(Arc<Noted>);

struct Noted {
    settings: Arc<LayerSettings>,
    is_late: AtomicBool,
    /// The next one further outside.
    outer: Option<LateLayer>,
}

impl LateLayer {
    /// Returns what layers outside have noted.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Notes a layer for those inside.
    pub(crate) fn note<B>(settings: &Arc<LayerSettings>, request: &mut Request<B>) -> Self {
        let extensions = request.extensions_mut();
        let outer = extensions.remove::<Self>();
        let layer = Self(Arc::new(Noted { settings: Arc::clone(settings), is_late: AtomicBool::new(false), outer }));
        extensions.insert(layer.clone());
        layer
    }

    /// Notes that the head is out.
    pub(crate) fn set_late(&self) {
        self.0.is_late.store(true, Ordering::Release);
    }

    /// Returns whether this observer was told of the stream of a layer that is late.
    pub(crate) fn has_observer(&self, observer: &Arc<dyn Observer>) -> bool {
        let layers = iter::successors(Some(self), |layer| layer.0.outer.as_ref());
        let mut late = layers.filter(|layer| layer.0.is_late.load(Ordering::Acquire));
        late.any(|layer| layer.0.settings.observers.iter().any(|other| dispatch::is_same(other, observer)))
    }
}

impl fmt::Debug for LateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateLayer").field("is_late", &self.0.is_late).finish_non_exhaustive()
    }
}
