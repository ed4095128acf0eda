//! The watchdog, which ends streams whose clients do not read. Such streams are not polled, so they cannot detect it
//! themselves.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

/// A set of streams that one watchdog looks at.
pub(super) trait Watched: Send + Sync + 'static {
    /// Marks a watchdog as running. Returns `false` if one is running already.
    fn begin_watch(&self) -> bool;

    /// Marks the watchdog as stopped.
    fn end_watch(&self);

    /// Marks the watchdog as stopped if there are no streams. Returns `true` if it is stopped.
    fn end_watch_if_empty(&self) -> bool;

    /// Ends the streams whose clients have not read for this long.
    fn stall_unread(&self, timeout: Duration);
}

/// Spawns a watchdog on the current runtime, unless one is running: one task, for as long as there are streams.
pub(super) fn watch<T: Watched>(watched: &Arc<T>, timeout: Duration) {
    let Ok(runtime) = Handle::try_current() else { return };
    if watched.begin_watch() {
        // Created before it is spawned: a runtime that is shutting down drops the task, and with it the mark.
        let watchdog = Watchdog { watched: Arc::downgrade(watched), has_ended: false };
        runtime.spawn(watchdog.run(timeout));
    }
}

/// The state of the task. Its drop marks the watchdog as stopped, also when a runtime drops the task, so that the next
/// stream to open spawns another one.
struct Watchdog<T: Watched> {
    watched: Weak<T>,
    has_ended: bool,
}

impl<T: Watched> Watchdog<T> {
    async fn run(mut self, timeout: Duration) {
        loop {
            sleep((timeout / 4).max(Duration::from_millis(1))).await;
            let Some(watched) = self.watched.upgrade() else { return };
            if watched.end_watch_if_empty() {
                self.has_ended = true;
                return;
            }
            watched.stall_unread(timeout);
        }
    }
}

impl<T: Watched> Drop for Watchdog<T> {
    fn drop(&mut self) {
        if let (false, Some(watched)) = (self.has_ended, self.watched.upgrade()) {
            watched.end_watch();
        }
    }
}
