//! The memory cost of the layer, printed, and compared with earlier values.
//!
//! ```sh
//! cargo test --test it sizes -- --nocapture
//! ```

use std::mem::size_of;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};
use tower_sse::{BoxError, Event, Events, SseLayer};

use crate::support::get;

/// A body, or a future, of this size.
#[derive(Clone)]
struct Sized<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Body for Sized<BYTES> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        std::task::Poll::Pending
    }
}

/// Returns the sizes of the response's future and of its body, with these inside.
async fn sizes<F, B>(
    inside: impl Service<Request<String>, Response = Response<B>, Error = BoxError, Future = F> + Clone,
) -> (usize, usize)
where
    F: Future<Output = Result<Response<B>, BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let stream = futures_util::stream::pending::<Event>;
    let layer = SseLayer::from_fn(move |_: Request<String>| async move { Events::new(stream()) });
    let mut service = layer.layer(inside);
    let future = service.call(get());
    let future_size = size_of_val(&future);
    (future_size, size_of_val(future.await.unwrap_or_else(|error| panic!("{error}")).body()))
}

/// A service whose future and body have these sizes.
#[derive(Clone)]
struct Inside<const FUTURE: usize, const BODY: usize>;

impl<const FUTURE: usize, const BODY: usize> Service<Request<String>> for Inside<FUTURE, BODY> {
    type Response = Response<Sized<BODY>>;
    type Error = BoxError;
    type Future = Answer<FUTURE, BODY>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        Answer(Sized([0; FUTURE]))
    }
}

struct Answer<const FUTURE: usize, const BODY: usize>(Sized<FUTURE>);

impl<const FUTURE: usize, const BODY: usize> Future for Answer<FUTURE, BODY> {
    type Output = Result<Response<Sized<BODY>>, BoxError>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::task::Poll::Ready(Ok(Response::new(Sized([self.0.0[0]; BODY]))))
    }
}

#[tokio::test]
async fn layer_adds_little_to_foreign_bodies_and_futures() {
    let (small_future, small_body) = sizes(Inside::<8, 8>).await;
    let (future, body) = sizes(Inside::<1024, 1024>).await;
    println!("body: {small_body} bytes at least, {} more than the one inside", body - 1024);
    println!("response future: {small_future} bytes at least, {} more than the one inside", future - 1024);
    assert!(small_body <= 40, "{small_body}");
    assert!(body - 1024 <= 8, "{}", body - 1024);
    assert!(small_future <= 80, "{small_future}");
    assert!(future - 1024 <= 32, "{}", future - 1024);
}

/// A stream as large as a memory page.
struct Large([u8; 4096]);

impl futures_core::Stream for Large {
    type Item = Event;

    fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Event>> {
        std::task::Poll::Ready(self.0.first().map(|byte| Event::new(byte.to_string())))
    }
}

#[tokio::test]
async fn large_stream_does_not_enlarge_body_or_future() {
    let layer = SseLayer::from_fn(|_: Request<String>| async { Events::new(Large([0; 4096])) });
    let mut service = layer.layer(Inside::<8, 8>);
    let future = service.call(get());
    assert!(size_of_val(&future) <= 80);
    let response = future.await.unwrap();
    assert!(size_of_val(response.body()) <= 40);
}

#[test]
fn memory_per_event_is_small() {
    println!("event: {} bytes beside its text", size_of::<Event>());
    assert!(size_of::<Event>() <= 56, "{}", size_of::<Event>());
}
