//! Node's own `EventSource`, undici's, reads `retry:` only at a blank line: it ignores the last one of a stream, unless that is a
//! block.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Request};
use futures_util::stream;
use tokio::time::{Instant, sleep};
use tower_sse::{Event, Events, LastRetry, Negotiate, Refusal, SseLayer};
use tower_sse_e2e::process::Process;

use crate::{programs::node, server::Server};

/// Returns the wait of undici after a server that ends its stream, or refuses it, with this time to wait.
async fn stays_away(retry: Duration, form: LastRetry, refuses: bool) -> Duration {
    let visits = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&visits);
    let sse = SseLayer::from_fn(move |_: Request| {
        noted.lock().unwrap().push(Instant::now());
        let events = Events::new(stream::pending::<Event>()).lifetime(Duration::from_millis(50));
        std::future::ready(if refuses { Err(Refusal::later(retry)) } else { Ok(events.retry(retry)) })
    });
    let sse = sse.negotiate(Negotiate::Always).last_retry(form);
    let server = Server::start(Router::new().layer(sse)).await.unwrap();
    let mut script = node("wait.mjs");
    script.args(["undici", &server.url("/")]);
    let _script = Process::start(script).unwrap();
    let begin = Instant::now();
    while visits.lock().unwrap().len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "undici reconnects");
        sleep(Duration::from_millis(10)).await;
    }
    let visits = visits.lock().unwrap();
    visits[1] - visits[0]
}

#[tokio::test]
#[ignore = "needs undici of npm; run by ./tests/run"]
async fn undici_waits_its_own_time_after_a_last_retry_that_is_a_line() {
    for refuses in [false, true] {
        // Its own wait is 3 s. If it had read the line, it would wait for far longer than the test does.
        let away = stays_away(Duration::from_secs(600), LastRetry::Line, refuses).await;
        assert!(away >= Duration::from_millis(2_900), "{away:?}");
    }
}

#[tokio::test]
#[ignore = "needs undici of npm; run by ./tests/run"]
async fn undici_honours_a_last_retry_with_a_blank_line() {
    for refuses in [false, true] {
        let away = stays_away(Duration::from_secs(6), LastRetry::Block, refuses).await;
        assert!(away >= Duration::from_millis(5_900), "{away:?}");
    }
}
