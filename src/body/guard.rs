//! How code of the user's runs without its panics reaching the connection.
//!
//! A panic within a body's poll would cut the connection, or reset the HTTP/2 stream, and what hyper has buffered for it
//! would be lost; one within its drop would end the task that drops it. So both are caught, and the stream ends as one
//! that panicked.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use pin_project_lite::pin_project;

pin_project! {
    /// A value of the user's, until it panics.
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

/// The value has panicked, now or before.
#[derive(Debug)]
pub(crate) struct Panicked;

impl<T> CatchPanic<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value) }
    }

    /// Calls the user's code. After a panic the value is gone: it may be in any state.
    pub(crate) fn run<R>(mut self: Pin<&mut Self>, call: impl FnOnce(Pin<&mut T>) -> R) -> Result<R, Panicked> {
        let value = self.as_mut().project().value.as_pin_mut().ok_or(Panicked)?;
        catch_unwind(AssertUnwindSafe(|| call(value))).map_err(|_| {
            self.release();
            Panicked
        })
    }

    /// Drops the value now.
    pub(crate) fn release(self: Pin<&mut Self>) {
        let mut value = self.project().value;
        // What a destructor throws has nowhere to go. Caught so, a panic that is under way is not made worse.
        let _ = catch_unwind(AssertUnwindSafe(|| value.set(None)));
    }
}
