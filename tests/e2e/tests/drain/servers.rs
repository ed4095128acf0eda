//! The lines for each server: streams end as set, an in-flight request is answered, and a reader that does
//! not read delays the end up to the deadline and no longer.

use std::time::Duration;

use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use tower_sse_e2e::client::within;

use crate::draining::{Draining, retry};

async fn drains(server: &str) {
    for has_stalled in [false, true] {
        // With readers that do not read the drain takes all of it. Everything else has to end before.
        let mut process = Draining::start(server, Duration::from_secs(if has_stalled { 20 } else { 3600 })).await;
        let leaving = process.open(10, "/events/leave", "data: hello\n\n").await;
        let work = process.open(10, "/events/work", "data: hello\n\n").await;
        let stalled = process.open(if has_stalled { 2 } else { 0 }, "/events/flood", "data: x").await;
        let mut answers = Vec::new();
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut client = process.connect(version).await;
            let asked = async move {
                let request = Request::get("/slow").body(Empty::new()).unwrap();
                within(client.send(request)).await.unwrap().into_body().collect().await.unwrap().to_bytes()
            };
            answers.push(tokio::spawn(asked));
        }
        process.asked(2).await;
        let leaving: Vec<_> = leaving.into_iter().map(|stream| tokio::spawn(stream.rest())).collect();
        let work: Vec<_> = work.into_iter().map(|stream| tokio::spawn(stream.rest())).collect();

        let left = process.leave().await;
        println!("{server}, with readers that do not read: {has_stalled}: left in {:?}", left.took);
        assert!(left.status.success(), "{left:?}");
        let expected = if has_stalled {
            ("20 2 dropped", r#"{"drained": 10, "finished": 10, "stalled": 2}"#)
        } else {
            ("20 0 ended", r#"{"drained": 10, "finished": 10}"#)
        };
        assert_eq!((left.drained.as_str(), left.reasons.as_str()), expected, "{server}");
        for stream in leaving {
            assert!(retry(&stream.await.unwrap().expect("a clean end")).is_some(), "{server}");
        }
        for stream in work {
            assert!(stream.await.unwrap().expect("a clean end").ends_with("data: step 5\n\n"), "{server}");
        }
        for answer in answers {
            assert_eq!(answer.await.unwrap(), "answered", "{server}");
        }
        drop(stalled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axum_serve_with_graceful_shutdown() {
    drains("axum").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_utils_graceful_shutdown() {
    drains("hyper").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonics_serve_with_shutdown() {
    drains("tonic").await;
}
