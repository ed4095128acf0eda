//! Layers that may send a response head before they have an answer, as an inner layer finds them.
//!
//! A layer whose head is out has a stream already, and has reported it to its observers. If an inner layer answers the request
//! with a stream, the outer stream continues as the inner one and has its observers: an observer of both layers must not get a
//! second stream.

use std::{
    fmt, iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Request;

use super::settings::LayerSettings;
use crate::observe::{Observer, dispatch};

/// A layer with a commit deadline, in the extensions of a request.
#[derive(Clone)]
pub(crate) struct LateLayer(Arc<Entry>);

struct Entry {
    settings: Arc<LayerSettings>,
    is_late: AtomicBool,
    /// The next layer outwards.
    outer: Option<LateLayer>,
}

impl LateLayer {
    /// Returns the innermost layer that a request has met.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Records a layer in a request, for inner layers.
    pub(crate) fn record<B>(settings: &Arc<LayerSettings>, request: &mut Request<B>) -> Self {
        let extensions = request.extensions_mut();
        let outer = extensions.remove::<Self>();
        let layer = Self(Arc::new(Entry { settings: Arc::clone(settings), is_late: AtomicBool::new(false), outer }));
        extensions.insert(layer.clone());
        layer
    }

    /// Records that the head is out.
    pub(crate) fn set_late(&self) {
        self.0.is_late.store(true, Ordering::Release);
    }

    /// Returns whether this layer, or one outside of it, has sent its head early and reported its stream to this observer.
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
