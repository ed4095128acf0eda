//! Sharing of one slot by the layers and requests within one request.
//!
//! One request may meet several layers with the same streams, one inside the other: they share a slot. A service
//! between two of them may make several requests out of one. The first of these shares the slot, and passes the share
//! on in turn; each further one takes a slot of its own.

/// The shares of a slot, except that of the layer that has taken it.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Share>);

#[derive(Debug)]
struct Share {
    id: u64,
    /// The id of the share that it was passed on from.
    from: u64,
    /// `false` once the share is released while others that were passed on from it are not.
    is_held: bool,
}

impl Shares {
    /// Returns `true` if another share was passed on from this one.
    pub(super) fn is_passed_on(&self, id: u64) -> bool {
        self.0.iter().any(|share| share.from == id)
    }

    /// Adds a share that is passed on from another one.
    pub(super) fn pass_on(&mut self, from: u64, id: u64) {
        self.0.push(Share { id, from, is_held: true });
    }

    /// Releases a share. The share that it came from can be passed on again once all that came from this one is
    /// released.
    pub(super) fn release(&mut self, id: u64) {
        if let Some(share) = self.0.iter_mut().find(|share| share.id == id) {
            share.is_held = false;
        }
        while let Some(at) = self.0.iter().position(|share| !share.is_held && !self.is_passed_on(share.id)) {
            self.0.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_stays_passed_on_until_its_descendants_are_released() {
        let mut shares = Shares::default();
        shares.release(1);
        shares.pass_on(1, 2);
        shares.pass_on(2, 3);
        shares.release(2);
        assert!(shares.is_passed_on(1) && shares.is_passed_on(2));
        shares.release(3);
        assert!(!shares.is_passed_on(1) && !shares.is_passed_on(2) && shares.0.is_empty());
    }
}
