//! Times that clients wait. The timers of JavaScript treat a time of more than 2^31 − 1 ms as 1 ms.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use tokio::time::{Instant, sleep};
use tower_sse::{Events, Negotiate, Refusal, SseLayer, source::Never};
use tower_sse_e2e::{client::LIMIT, process::Process};

use crate::{programs::node, server::Server};

/// Refuses each request for a month, and counts the requests.
fn closed(requests: &Arc<AtomicUsize>) -> Router {
    let requests = Arc::clone(requests);
    let sse = SseLayer::from_fn(move |_: Request| {
        requests.fetch_add(1, SeqCst);
        async { Err::<Events<Never>, _>(Refusal::later(Duration::from_secs(30 * 86_400))) }
    });
    Router::new().layer(sse.negotiate(Negotiate::Always))
}

/// Counts the requests of a client in two seconds after its first.
async fn requests_of(client: &str) -> usize {
    let requests = Arc::new(AtomicUsize::new(0));
    let server = Server::start(closed(&requests)).await.unwrap();
    let mut script = node("wait.mjs");
    script.args([client, &server.url("/")]);
    let _script = Process::start(script).unwrap();
    let until = Instant::now() + LIMIT;
    while requests.load(SeqCst) == 0 && Instant::now() < until {
        sleep(Duration::from_millis(10)).await;
    }
    // A client with a wait of 1 ms reconnects hundreds of times in this time.
    sleep(Duration::from_secs(2)).await;
    requests.load(SeqCst)
}

#[tokio::test]
#[ignore = "needs clients of npm; run by ./tests/run"]
async fn clients_with_a_retry_of_a_month_do_not_reconnect_at_once() {
    for client in [
        "@microsoft/fetch-event-source",
        "eventsource",
        "eventsource-client",
        "extended-eventsource",
        "launchdarkly-eventsource",
        "reconnecting-eventsource",
        "undici",
    ] {
        assert_eq!(requests_of(client).await, 1, "{client}");
    }
}
