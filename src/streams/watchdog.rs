//! Who finds streams whose clients do not read: nobody polls them, so they cannot find out themselves.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use super::registry::Registry;

/// Has somebody look, unless somebody does: one task, as long as there are streams.
pub(super) fn watch(registry: &Arc<Registry>) {
    let Some(after) = registry.settings.stalled_after else { return };
    let Ok(runtime) = Handle::try_current() else { return };
    if registry.begin_watch() {
        // Made before it is spawned: a runtime that is shutting down drops the task instead.
        let watchdog = Watchdog { registry: Arc::downgrade(registry), has_ended: false };
        runtime.spawn(watchdog.run(after));
    }
}

/// The task, whether it runs or is dropped with its runtime: the next stream to open finds somebody else then.
struct Watchdog {
    registry: Weak<Registry>,
    has_ended: bool,
}

impl Watchdog {
    async fn run(mut self, after: Duration) {
        loop {
            sleep((after / 4).max(Duration::from_millis(1))).await;
            let Some(registry) = self.registry.upgrade() else { return };
            if registry.end_watch_if_empty() {
                self.has_ended = true;
                return;
            }
            registry.for_each(|record| record.stall_unless_read_within(after));
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let (false, Some(registry)) = (self.has_ended, self.registry.upgrade()) {
            registry.end_watch();
        }
    }
}
