//! The places that layers outside have taken for a request, as a layer inside finds them.

use std::{fmt, iter, sync::Arc};

use http::Request;

use super::{
    permit::{AdmissionError, Permit},
    registry::Registry,
    slot::Hold,
    waiter::Patience,
};

/// A share of a place in a request's extensions. A layer inside with the same [`Streams`](crate::streams::Streams) shares it in turn.
#[derive(Clone)]
pub(crate) struct OuterSlot {
    registry: Arc<Registry>,
    hold: Hold,
    /// The share that a layer further outside has passed on, in the same streams or in others.
    outer: Option<Arc<Self>>,
}

impl OuterSlot {
    /// Shares the place that the request has in these streams. If it has none takes a tentative one. Notes the share in the
    /// request's extensions. Returns the patience of a request that has met a layer with streams before.
    pub(crate) fn share_or_take<B>(
        registry: &Arc<Registry>,
        key: Option<Arc<str>>,
        request: &mut Request<B>,
    ) -> Result<(Permit, Option<Patience>), AdmissionError> {
        let extensions = request.extensions_mut();
        let outer = || iter::successors(extensions.get::<Self>(), |place| place.outer.as_deref());
        let same = outer().find(|place| Arc::ptr_eq(&place.registry, registry));
        let shared = same.and_then(|place| registry.join(&place.hold, key.as_ref()));
        let patience = outer().last().map(|first| Patience::new(&first.registry, &first.hold));
        let (permit, hold) = match shared {
            Some(shared) => shared,
            None => registry.ask(key)?,
        };
        match extensions.get_mut::<Self>() {
            Some(place) if place.is_replaced_by(registry, &hold) => place.hold = hold,
            _ => {
                let outer = extensions.remove::<Self>().map(Arc::new);
                extensions.insert(Self { registry: Arc::clone(registry), hold, outer });
            }
        }
        Ok((permit, patience))
    }

    /// Returns whether this share can stand in the place of the one here. The first of all is that of the request's patience,
    /// which stays with its place.
    fn is_replaced_by(&self, registry: &Arc<Registry>, hold: &Hold) -> bool {
        Arc::ptr_eq(&self.registry, registry) && (self.outer.is_some() || self.hold.serial == hold.serial)
    }
}

impl fmt::Debug for OuterSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterPlace").field("hold", &self.hold).finish_non_exhaustive()
    }
}
