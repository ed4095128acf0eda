//! Panics of code that runs in the background, caught: a task that ends unseen ends what it was for.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Poll, Waker},
};

/// The panic of a task, with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked(Box<str>);

/// Runs a future to its end.
///
/// # Errors
///
/// The future panicked.
pub(crate) async fn catch_future<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(Panicked::new(&*payload))),
    })
    .await
}

/// Calls this. Returns `None` if it panicked.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// Wakes each of these, also those behind one that panics.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    // One frame that catches for all, unless one panics.
    while catch(|| wakers.by_ref().for_each(Waker::wake)).is_none() {}
}

impl Panicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("without a message").into())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a task has panicked: {}", self.0)
    }
}

impl Error for Panicked {}

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

    /// A waker that counts, and panics with every call but the even ones.
    #[derive(Default)]
    pub(crate) struct Moody(pub(crate) AtomicUsize);

    impl Wake for Moody {
        fn wake(self: Arc<Self>) {
            assert!(self.0.fetch_add(1, SeqCst) % 2 == 1, "this waker panics");
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        let moody = Arc::new(Moody::default());
        wake_all((0..5).map(|_| Waker::from(Arc::clone(&moody))));
        assert_eq!(moody.0.load(SeqCst), 5);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        let number = 7;
        let panicked = catch_future(async { assert_eq!(number, 8, "it is {number}") }).await.unwrap_err().to_string();
        assert!(panicked.contains("it is 7"), "{panicked}");
        assert_eq!(catch_future(async { 7 }).await, Ok(7));
    }
}
