//! Catching of panics, so that a background task does not end unnoticed.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Poll, Waker},
};

/// An error of a task that panicked, with the message of the panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PanicError(Box<str>);

/// Runs a future to its end.
///
/// # Errors
///
/// Errors if the future panics.
pub(crate) async fn catch_future<F: Future>(future: F) -> Result<F::Output, PanicError> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(PanicError::new(&*payload))),
    })
    .await
}

/// Calls a closure. Returns `None` if it panics.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// Wakes each waker, also those after one that panics.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    // Catches once for all wakers, and once more for each that panics.
    while catch(|| wakers.by_ref().for_each(Waker::wake)).is_none() {}
}

impl PanicError {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("no message").into())
    }
}

impl fmt::Display for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "background task panicked: {}", self.0)
    }
}

impl Error for PanicError {}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use super::*;

    /// A waker that counts its calls, and panics at each odd one.
    #[derive(Default)]
    pub(crate) struct Unreliable(pub(crate) AtomicUsize);

    impl Wake for Unreliable {
        fn wake(self: Arc<Self>) {
            assert!(self.0.fetch_add(1, SeqCst) % 2 == 1, "a waker panics");
        }
    }

    #[test]
    fn all_wakers_are_woken_although_some_panic() {
        let unreliable = Arc::new(Unreliable::default());
        wake_all((0..5).map(|_| Waker::from(Arc::clone(&unreliable))));
        assert_eq!(unreliable.0.load(SeqCst), 5);
    }

    #[tokio::test]
    async fn panic_becomes_an_error_with_its_message() {
        let number = 7;
        let panicked = catch_future(async { assert_eq!(number, 8, "it is {number}") }).await.unwrap_err().to_string();
        assert!(panicked.contains("it is 7"), "{panicked}");
        assert_eq!(catch_future(async { 7 }).await, Ok(7));
    }
}
