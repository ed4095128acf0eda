//! Streams polled as a server does, with checks of their invariants.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::Instant;

/// A stream on its way to a client. Each poll checks the invariants of streams.
pub(crate) struct Reading<B> {
    body: Pin<Box<B>>,
    start: Instant,
    ended: bool,
}

impl<B: Body<Data = Bytes, Error: Error>> Reading<B> {
    pub(crate) fn new(body: B) -> Self {
        assert!(!body.is_end_stream(), "hyper would drop a body that has ended");
        Self { body: Box::pin(body), start: Instant::now(), ended: false }
    }

    /// Returns the milliseconds since the stream opened.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        assert_eq!(self.body.size_hint().upper(), None, "a length would cut the stream");
        let frame = self.body.as_mut().poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            assert!(!self.ended, "nothing follows the end");
            assert!(frame.data_ref().is_none_or(|data| !data.is_empty()), "no frame is empty");
        }
        self.ended |= matches!(frame, Poll::Ready(None));
        assert!(!self.ended || self.body.is_end_stream(), "an ended body reports its end");
        frame
    }

    /// Polls once, with a no-op waker.
    pub(crate) fn poll_once(&mut self) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    pub(crate) async fn frame(&mut self) -> Option<Result<Frame<Bytes>, B::Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Returns the next frame as text; trailers and errors as a description.
    pub(crate) async fn next(&mut self) -> Option<String> {
        Some(match self.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(data) => String::from_utf8_lossy(&data).into_owned(),
                Err(frame) => format!("trailers {:?}", frame.trailers_ref().map(|all| all.keys().collect::<Vec<_>>())),
            },
            Err(error) => format!("error {}", error.source().map_or_else(|| error.to_string(), ToString::to_string)),
        })
    }

    /// Returns all frames until the end, and checks that the end is final.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        for _ in 0..3 {
            assert!(matches!(self.poll_once(), Poll::Ready(None)), "the end is final");
        }
        frames
    }

    /// Returns the frames within this time, each with the milliseconds since the stream opened.
    pub(crate) async fn frames_within(&mut self, time: Duration) -> Vec<(u64, String)> {
        let mut frames = Vec::new();
        let until = Instant::now() + time;
        while let Ok(Some(frame)) = tokio::time::timeout_at(until, self.next()).await {
            frames.push((self.millis(), frame));
        }
        frames
    }
}
