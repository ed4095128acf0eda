//! Scripted sources.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tower_sse::{BoxError, Event};

use self::Step::{Give, Hang, Panic, Wait};

/// A step of a [`Script`]. Times are milliseconds.
#[derive(Debug, Clone)]
pub(crate) enum Step<T> {
    Give(T),
    Wait(u64),
    Panic,
    Hang,
}

/// A scripted stream or body.
pub(crate) struct Script<T> {
    steps: VecDeque<Step<T>>,
    sleep: Option<Pin<Box<Sleep>>>,
    ended: bool,
    life: Life,
}

/// The state of a script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life(Arc<LifeCounts>);

#[derive(Debug, Default)]
struct LifeCounts {
    polls: AtomicUsize,
    polls_after_end: AtomicUsize,
    drops: AtomicUsize,
    panics_in_drop: AtomicUsize,
}

impl Life {
    pub(crate) fn polls(&self) -> usize {
        self.0.polls.load(SeqCst)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.drops.load(SeqCst) == 1
    }

    pub(crate) fn was_polled_after_its_end(&self) -> bool {
        self.0.polls_after_end.load(SeqCst) > 0
    }

    pub(crate) fn panic_in_drop(&self) {
        self.0.panics_in_drop.store(1, SeqCst);
    }
}

impl<T> Script<T> {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step<T>>) -> Self {
        Self { steps: steps.into_iter().collect(), sleep: None, ended: false, life: Life::default() }
    }

    pub(crate) fn life(&self) -> Life {
        self.life.clone()
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.life.0.polls.fetch_add(1, SeqCst);
        self.life.0.polls_after_end.fetch_add(usize::from(self.ended), SeqCst);
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                Some(Give(item)) => return Poll::Ready(Some(item)),
                Some(Wait(millis)) => self.sleep = Some(Box::pin(sleep(Duration::from_millis(millis)))),
                Some(Hang) => {
                    self.steps.push_front(Hang);
                    return Poll::Pending;
                }
                Some(Panic) => {
                    self.ended = true;
                    panic!("the script panics")
                }
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<T> Drop for Script<T> {
    fn drop(&mut self) {
        self.life.0.drops.fetch_add(1, SeqCst);
        assert!(self.life.0.panics_in_drop.load(SeqCst) == 0, "the script panics in drop");
    }
}

impl<T: Unpin> Stream for Script<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_step(cx)
    }
}

impl Body for Script<Result<Frame<Bytes>, BoxError>> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_step(cx)
    }

    /// A length that would be wrong with added bytes.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(1)
    }
}

/// Returns an event with this data.
pub(crate) fn event(data: &str) -> Step<Result<Event, BoxError>> {
    Give(Ok(Event::new(data)))
}

/// Returns an error with this text.
pub(crate) fn error<T>(text: &str) -> Step<Result<T, BoxError>> {
    Give(Err(text.into()))
}

/// Returns a frame of data of a foreign body.
pub(crate) fn bytes(data: impl AsRef<[u8]>) -> Step<Result<Frame<Bytes>, BoxError>> {
    Give(Ok(Frame::data(Bytes::copy_from_slice(data.as_ref()))))
}

/// Returns trailers of a foreign body: one, of this name.
pub(crate) fn trailers(name: &'static str) -> Step<Result<Frame<Bytes>, BoxError>> {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static("there"));
    Give(Ok(Frame::trailers(trailers)))
}
