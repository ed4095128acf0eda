//! The parts that layers inside have in the place of a request.
//!
//! One request may meet several layers with the same streams, one inside the other: they share a place. A service between two
//! of them may make several requests of the one that it has. The first of these shares the place, and passes it on in turn; each
//! other one is a request of its own.

/// The shares in a place, but for that of the layer that has taken it.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Share>);

#[derive(Debug)]
struct Share {
    id: u64,
    /// The share that it comes from.
    from: u64,
    /// `false` once the share is given back, which leaves those that come from it.
    is_held: bool,
}

impl Shares {
    /// Returns whether another share comes from this one.
    pub(super) fn is_passed_on(&self, id: u64) -> bool {
        self.0.iter().any(|share| share.from == id)
    }

    /// Adds a share that comes from another one.
    pub(super) fn pass_on(&mut self, from: u64, id: u64) {
        self.0.push(Share { id, from, is_held: true });
    }

    /// Gives a share back. The one that it comes from can be passed on anew once nothing is left of it.
    pub(super) fn give_back(&mut self, id: u64) {
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
    fn a_share_is_passed_on_until_all_that_comes_from_it_is_given_back() {
        let mut shares = Shares::default();
        shares.give_back(1);
        shares.pass_on(1, 2);
        shares.pass_on(2, 3);
        shares.give_back(2);
        assert!(shares.is_passed_on(1) && shares.is_passed_on(2));
        shares.give_back(3);
        assert!(!shares.is_passed_on(1) && !shares.is_passed_on(2) && shares.0.is_empty());
    }
}
