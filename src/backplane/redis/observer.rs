//! An observer of the link whose panics are caught.

use std::{error::Error, time::Duration};

use crate::{
    observe::link::{Link, LinkObserver},
    panic,
};

/// A [`LinkObserver`] that forwards each call and catches its panics.
pub(crate) struct CatchPanics<O>(pub(crate) O);

impl<O: LinkObserver> LinkObserver for CatchPanics<O> {
    fn link(&self, link: Link) {
        panic::catch(|| self.0.link(link));
    }

    fn read(&self, events: usize, lag: Duration) {
        panic::catch(|| self.0.read(events, lag));
    }

    fn failed(&self, error: &(dyn Error + 'static)) {
        panic::catch(|| self.0.failed(error));
    }

    fn skipped(&self, id: &str, reason: &str) {
        panic::catch(|| self.0.skipped(id, reason));
    }

    fn renewed(&self, reason: &str) {
        panic::catch(|| self.0.renewed(reason));
    }
}
