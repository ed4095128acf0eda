//! A drain beside a server that shuts down: together they take no longer than the deadline, and other requests have no less time
//! than that.

use std::future::{pending, ready};

use tokio::time::{Instant, sleep};
use tower_sse::streams::Streams;

use super::{SECOND, endless, read, serve};
use crate::support::Recording;

#[tokio::test(start_paused = true)]
async fn other_requests_have_until_the_deadline() {
    let streams = Streams::new();
    let mut body = read(&serve(&endless(&streams, &Recording::default()))).await;
    let begin = Instant::now();
    let server = async {
        sleep(15 * SECOND).await;
        "its last request is answered"
    };
    let (_, (drained, served)) = tokio::join!(body.rest(), streams.drain_with_server(server, 20 * SECOND));
    assert_eq!((drained.ended, served, begin.elapsed()), (1, Some("its last request is answered"), 15 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_end_is_dropped_at_the_deadline() {
    let streams = Streams::new();
    let mut stalled = read(&serve(&endless(&streams, &Recording::default()))).await;
    assert!(stalled.poll_once().is_ready());
    let begin = Instant::now();
    // The future of the server holds the connection of a client that does not read.
    let server = async move {
        let _held = stalled;
        pending::<()>().await;
    };
    let (drained, served) = streams.drain_with_server(server, 20 * SECOND).await;
    assert_eq!((drained.ended, drained.aborted, served, begin.elapsed()), (0, 1, None, 20 * SECOND));
    assert_eq!(streams.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_first_does_not_end_the_drain() {
    let streams = Streams::new();
    let mut body = read(&serve(&endless(&streams, &Recording::default()))).await;
    let reads = async {
        sleep(SECOND / 2).await;
        body.rest().await
    };
    let (_, (drained, served)) = tokio::join!(reads, streams.drain_with_server(ready("done"), 20 * SECOND));
    assert_eq!((drained.ended, drained.aborted, served), (1, 0, Some("done")));
}
