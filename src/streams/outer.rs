//! The places that layers outside have taken for a request, as a layer inside finds them.

use std::{fmt, iter, sync::Arc};

use http::Request;

use super::{
    permit::{NotAdmitted, Permit},
    registry::Registry,
};

/// A place in a request's extensions. A layer inside with the same [`Streams`](super::Streams) shares it.
#[derive(Clone)]
pub(crate) struct OuterPlace {
    registry: Arc<Registry>,
    number: usize,
    serial: u64,
    /// The place in other streams, of a layer further outside.
    outer: Option<Arc<Self>>,
}

impl OuterPlace {
    /// Shares the place that the request has in these streams. If it has none takes a tentative one and notes it in the
    /// request's extensions.
    pub(crate) fn share_or_take<B>(
        registry: &Arc<Registry>,
        key: Option<Arc<str>>,
        request: &mut Request<B>,
    ) -> Result<Permit, NotAdmitted> {
        let extensions = request.extensions_mut();
        let mut outer = iter::successors(extensions.get::<Self>(), |place| place.outer.as_deref());
        let same = outer.find(|place| Arc::ptr_eq(&place.registry, registry));
        if let Some(permit) = same.and_then(|place| registry.join(place.number, place.serial, key.as_ref())) {
            return Ok(permit);
        }
        let (permit, serial) = registry.ask(key)?;
        let outer = extensions.remove::<Self>().map(Arc::new);
        extensions.insert(Self { registry: Arc::clone(registry), number: permit.number(), serial, outer });
        Ok(permit)
    }
}

impl fmt::Debug for OuterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterPlace").field("number", &self.number).finish_non_exhaustive()
    }
}
