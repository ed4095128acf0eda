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

use std::{
    ops::{Deref, DerefMut},
    sync::{PoisonError, TryLockError},
};

use real::MutexGuard;
pub(crate) use real::{AtomicWaker, Mutex, atomic};

/// The guard of a locked [`Mutex`]. In debug builds it counts among the locks that its thread holds.
#[derive(Debug)]
pub(crate) struct Guard<'a, T> {
    guard: MutexGuard<'a, T>,
    #[cfg(debug_assertions)]
    _held: held::HeldLock,
}

/// Locks a mutex, also one that is poisoned: no code of a user runs under these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Guard<'_, T> {
    Guard::new(mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Locks a mutex, if it is not locked.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<Guard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(Guard::new(guard)),
        Err(TryLockError::Poisoned(error)) => Some(Guard::new(error.into_inner())),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Panics in debug builds if this thread holds a lock of a hub: a waker that is woken under one may take the same lock.
#[inline]
pub(crate) fn debug_assert_unlocked() {
    #[cfg(debug_assertions)]
    held::assert_none();
}

impl<'a, T> Guard<'a, T> {
    #[inline]
    fn new(guard: MutexGuard<'a, T>) -> Self {
        Self {
            guard,
            #[cfg(debug_assertions)]
            _held: held::HeldLock::new(),
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// The number of locks that each thread holds.
#[cfg(debug_assertions)]
mod held {
    use std::{cell::Cell, thread};

    #[cfg(not(all(test, tower_sse_loom)))]
    thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
    }

    // All threads of a model run on one thread of the system.
    #[cfg(all(test, tower_sse_loom))]
    loom::thread_local! {
        static HELD: Cell<usize> = Cell::new(0);
    }

    /// A lock that is held, counted until this is dropped.
    #[derive(Debug)]
    pub(super) struct HeldLock(());

    impl HeldLock {
        pub(super) fn new() -> Self {
            change(|held| held + 1);
            Self(())
        }
    }

    impl Drop for HeldLock {
        fn drop(&mut self) {
            change(|held| held - 1);
        }
    }

    pub(super) fn assert_none() {
        let held = HELD.try_with(Cell::get).unwrap_or(0);
        assert!(held == 0 || thread::panicking(), "a waker is woken under a lock");
    }

    /// Does nothing while the thread ends: its locals are gone then.
    fn change(to: impl FnOnce(usize) -> usize) {
        let _ = HELD.try_with(|held| held.set(to(held.get())));
    }
}
