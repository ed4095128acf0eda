//! Locks and atomics: those of the standard library, or loom's in a loom test.

#[cfg(not(all(test, tower_sse_loom)))]
mod real {
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

    pub(crate) use futures_util::task::AtomicWaker;
}

#[cfg(all(test, tower_sse_loom))]
mod real {
    use std::task::Waker;

    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

    /// Loom's `AtomicWaker` with the interface of that of `futures_util`.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }
}

use std::sync::{PoisonError, TryLockError};

pub(crate) use real::{AtomicWaker, Mutex, MutexGuard, atomic};

/// Locks a mutex, also one that is poisoned: no code of a user runs under these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks a mutex, if it is not locked.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
