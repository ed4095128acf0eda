//! Who finds streams whose clients do not read: nobody polls them, so they cannot find out themselves.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use super::registry::Registry;

/// Has somebody look, unless somebody does: one task, as long as there are streams.
pub(super) fn watch(registry: &Arc<Registry>) {
    let Some(after) = registry.settings.stalled_after else { return };
    if registry.is_watched.load(Ordering::Acquire) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    if !registry.is_watched.swap(true, Ordering::AcqRel) {
        // Made before it is spawned: a runtime that is shutting down drops the task instead.
        runtime.spawn(Watchdog(Arc::downgrade(registry)).run(after));
    }
}

/// The task, whether it runs or is dropped with its runtime: somebody else can look then.
struct Watchdog(Weak<Registry>);

impl Watchdog {
    async fn run(self, after: Duration) {
        loop {
            sleep((after / 4).max(Duration::from_millis(1))).await;
            let Some(registry) = self.0.upgrade() else { return };
            if registry.is_empty() {
                return;
            }
            registry.each(|record| record.stall_unless_read_within(after));
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let Some(registry) = self.0.upgrade() else { return };
        registry.is_watched.store(false, Ordering::Release);
        // One that came between the look and this would not be watched.
        if !registry.is_empty() {
            watch(&registry);
        }
    }
}
