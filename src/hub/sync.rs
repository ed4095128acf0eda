//! Locks and atomics: the standard library's, or loom's where a test tries every order of things.

#[cfg(not(all(test, tower_sse_loom)))]
mod real {
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

    pub(crate) use futures_util::task::AtomicWaker;
}

#[cfg(all(test, tower_sse_loom))]
mod real {
    use std::task::Waker;

    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

    /// Loom's, as the other one is called.
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

/// The guard, whoever panicked before: nothing of a user's runs under these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The guard, if nobody has it.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
