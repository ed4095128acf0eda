//! The shares of slots that outer layers have taken for a request.

use std::{fmt, iter, sync::Arc};

use http::Request;

use super::{error::AdmissionError, permit::Permit, registry::StreamRegistry, slot::ShareRef, waiter::WaitBudget};

/// A share of a slot in a request's extensions. An inner layer with the same [`Streams`](crate::streams::Streams)
/// shares the slot in turn.
#[derive(Clone)]
pub(crate) struct OuterSlot {
    registry: Arc<StreamRegistry>,
    share: ShareRef,
    /// The share that a layer further outside has passed on, in the same streams or in others.
    outer: Option<Arc<Self>>,
}

impl OuterSlot {
    /// Shares the slot that the request has in these streams, or reserves one if it has none. Stores the share in the
    /// request's extensions. Returns also the wait budget of a request that has met a layer with streams before.
    pub(crate) fn share_or_reserve<B>(
        registry: &Arc<StreamRegistry>,
        key: Option<Arc<str>>,
        request: &mut Request<B>,
    ) -> Result<(Permit, Option<WaitBudget>), AdmissionError> {
        let extensions = request.extensions_mut();
        let outer = || iter::successors(extensions.get::<Self>(), |slot| slot.outer.as_deref());
        let same = outer().find(|slot| Arc::ptr_eq(&slot.registry, registry));
        let shared = same.and_then(|slot| registry.share(&slot.share, key.as_ref()));
        let budget = outer().last().map(Self::wait_budget);
        let (permit, share) = match shared {
            Some(shared) => shared,
            None => registry.reserve(key)?,
        };
        match extensions.get_mut::<Self>() {
            Some(slot) if slot.can_become(registry, &share) => slot.share = share,
            _ => {
                let outer = extensions.remove::<Self>().map(Arc::new);
                extensions.insert(Self { registry: Arc::clone(registry), share, outer });
            }
        }
        Ok((permit, budget))
    }

    fn wait_budget(&self) -> WaitBudget {
        let owner = Arc::clone(&self.registry);
        WaitBudget::new(owner, self.share.slot, self.share.serial)
    }

    /// Returns `true` if this share may be replaced by another one. The outermost share carries the request's wait
    /// budget, so it is replaced only by a share of the same slot.
    fn can_become(&self, registry: &Arc<StreamRegistry>, share: &ShareRef) -> bool {
        Arc::ptr_eq(&self.registry, registry) && (self.outer.is_some() || self.share.serial == share.serial)
    }
}

impl fmt::Debug for OuterSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterSlot").field("share", &self.share).finish_non_exhaustive()
    }
}
