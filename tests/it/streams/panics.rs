//! Panics of handlers and of wakers, which affect no other stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use http::{Request, Response};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{Refusal, streams::Streams};

use super::{
    SECOND, ask_for, endless,
    in_flight::{WAYS, of_me},
    serve,
};
use crate::support::{Reading, Recording, get};

/// A waker that panics, or one that counts.
#[derive(Default)]
struct Wakes(AtomicUsize, bool);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        assert!(!self.1, "this waker panics");
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_waker_does_not_block_other_ends() {
    for is_drain in [false, true] {
        let streams = Streams::new();
        let service = serve(&endless(&streams, &Recording::default()).stream_key(|_| Some("me".into())));
        let (panics, counts) = (Arc::new(Wakes(AtomicUsize::new(0), true)), Arc::new(Wakes::default()));
        let wakers = [Waker::from(Arc::clone(&panics)), Waker::from(Arc::clone(&counts))];
        let mut bodies = Vec::new();
        for waker in wakers.iter().cycle().take(10) {
            let mut body = Reading::new(ask_for(&service, get()).await.into_body());
            let cx = &mut Context::from_waker(waker);
            assert!((0..3).map(|_| body.poll(cx)).any(|polled| polled.is_pending()));
            bodies.push(body);
        }
        if is_drain {
            streams.start_drain();
        } else {
            assert_eq!(streams.end_key("me", "over"), 10);
        }
        assert_eq!((panics.0.load(SeqCst), counts.0.load(SeqCst)), (5, 5));
        for body in &mut bodies {
            body.rest().await;
        }
        assert_eq!(streams.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_waker_does_not_block_other_waiting_requests() {
    let streams = Streams::builder().max_streams(1).build();
    let service = serve(&endless(&streams, &Recording::default()));
    let _held = ask_for(&service, get()).await;
    let (panics, counts) = (Arc::new(Wakes(AtomicUsize::new(0), true)), Arc::new(Wakes::default()));
    let mut waiting = [Box::pin(ask_for(&service, get())), Box::pin(ask_for(&service, get()))];
    for (request, waker) in waiting.iter_mut().zip([panics.clone().into(), Waker::from(counts.clone())]) {
        assert!(matches!(request.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending));
    }
    streams.start_drain();
    assert_eq!((panics.0.load(SeqCst), counts.0.load(SeqCst)), (1, 1));
}

async fn panics(_: Request<String>) -> Result<Response<String>, Refusal> {
    sleep(SECOND).await;
    panic!("the handler panics")
}

#[tokio::test(start_paused = true)]
async fn panicking_handler_releases_its_slot() {
    for request in WAYS {
        let streams = Streams::builder().max_streams(1).build();
        let service = of_me(&streams).layer(of_me(&streams).layer(service_fn(panics)));
        let answer = tokio::spawn(service.oneshot(request())).await;
        assert!(answer.is_err_and(|error| error.is_panic()));
        assert_eq!((streams.len(), streams.len_for_key("me"), streams.end_key("me", "none")), (0, 0, 0));
    }
}
