//! An observer of a link whose panics end nothing.

use std::{error::Error, time::Duration};

use super::{Link, LinkObserver};
use crate::caught;

/// Passes each call on.
pub(super) struct Guarded<O>(pub(super) O);

impl<O: LinkObserver> LinkObserver for Guarded<O> {
    fn link(&self, link: Link) {
        caught::call(|| self.0.link(link));
    }

    fn read(&self, events: usize, lag: Duration) {
        caught::call(|| self.0.read(events, lag));
    }

    fn failed(&self, error: &(dyn Error + 'static)) {
        caught::call(|| self.0.failed(error));
    }

    fn skipped(&self, id: &str, why: &str) {
        caught::call(|| self.0.skipped(id, why));
    }

    fn renewed(&self, why: &str) {
        caught::call(|| self.0.renewed(why));
    }
}
