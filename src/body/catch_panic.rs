//! A guard around the user's streams and bodies that catches their panics.
//!
//! A panic within a body's poll would cut the connection, or reset the HTTP/2 stream, and lose the bytes that hyper has
//! buffered for it. A panic within its drop would end the task that drops it. Both are caught, and the stream ends with the
//! reason [`Panicked`](crate::observe::Reason::Panicked).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use pin_project_lite::pin_project;

pin_project! {
    /// A value of the user's. It is dropped when it panics.
    #[derive(Debug)]
    pub struct CatchPanic<T> {
        #[pin]
        value: Option<T>,
    }

    impl<T> PinnedDrop for CatchPanic<T> {
        fn drop(this: Pin<&mut Self>) {
            this.release();
        }
    }
}

/// The error of a value that has panicked, now or before.
#[derive(Debug)]
pub(crate) struct Panicked;

impl<T> CatchPanic<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value) }
    }

    /// Calls the user's code. A panic drops the value, which may be in any state.
    ///
    /// Errors if the value has panicked, now or before.
    pub(crate) fn run<R>(mut self: Pin<&mut Self>, call: impl FnOnce(Pin<&mut T>) -> R) -> Result<R, Panicked> {
        let value = self.as_mut().project().value.as_pin_mut().ok_or(Panicked)?;
        catch_unwind(AssertUnwindSafe(|| call(value))).map_err(|_| {
            self.release();
            Panicked
        })
    }

    /// Drops the value.
    pub(crate) fn release(self: Pin<&mut Self>) {
        let mut value = self.project().value;
        // A panic of the destructor cannot be reported. Caught, it does not abort a thread that unwinds already.
        let _ = catch_unwind(AssertUnwindSafe(|| value.set(None)));
    }
}
