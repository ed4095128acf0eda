//! A thousand connections, half of them HTTP/1.1, half HTTP/2.

use std::{collections::BTreeSet, time::Duration};

use tokio::task::JoinSet;

use crate::draining::{Draining, Reading, retry};

/// Reads all these streams to their clean ends, while a future runs.
struct All(JoinSet<hyper::Result<String>>);

impl All {
    fn read(streams: Vec<Reading>) -> Self {
        let mut all = JoinSet::new();
        for stream in streams {
            all.spawn(stream.rest());
        }
        Self(all)
    }

    async fn ended(self) -> Vec<String> {
        self.0.join_all().await.into_iter().map(|text| text.expect("each stream ends cleanly")).collect()
    }

    /// Returns the streams that ended before the server did.
    async fn ended_in_time(self) -> Vec<String> {
        self.0.join_all().await.into_iter().filter_map(Result::ok).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drained_streams_end_at_once_with_different_retries() {
    let mut server = Draining::start("axum", Duration::from_secs(3600)).await;
    let all = All::read(server.open(1_000, "/events/leave", "data: hello\n\n").await);
    let left = server.leave().await;
    println!("1,000 connections, half HTTP/1.1, half HTTP/2: left in {:?}", left.took);
    assert!(left.status.success(), "{left:?}");
    assert_eq!((left.drained.as_str(), left.reasons.as_str()), ("1000 0 ended", r#"{"drained": 1000}"#));

    let retries: BTreeSet<_> = all.ended().await.iter().map(|text| retry(text).expect("the last line")).collect();
    assert!(retries.iter().all(|retry| (3_000..=8_000).contains(retry)), "{retries:?}");
    assert!(retries.len() > 250, "{} different times to come back", retries.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_streams_are_cut_before_the_deadline() {
    let mut server = Draining::start("axum", DEADLINE).await;
    let work = All::read(server.open(100, "/events/work", "data: hello\n\n").await);
    let endless = All::read(server.open(100, "/events/endless", "data: hello\n\n").await);
    let left = server.leave().await;
    println!("100 that finish, 100 that do not, a deadline of {DEADLINE:?}: left in {:?}", left.took);
    assert!(left.status.success(), "{left:?}");
    assert_eq!(left.reasons, r#"{"drained": 100, "finished": 100}"#);

    for text in work.ended().await {
        assert!(text.ends_with("data: step 5\n\n") && text.matches("data: step").count() == 5, "{text}");
    }
    // A second is left to send the end, which does not suffice for all on a busy machine.
    let endless = endless.ended_in_time().await;
    assert!(!endless.is_empty(), "none had its end: {left:?}");
    for text in endless {
        // A heartbeat is due meanwhile.
        let events: String = text.split_inclusive('\n').filter(|line| !line.starts_with(':')).collect();
        assert!(events.starts_with("data: hello\n\ndata: sorry\n\nretry: ") && retry(&text).is_some(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_streams_are_cut_at_the_drain_deadline() {
    let mut server = Draining::start("axum", DEADLINE).await;
    let stalled = server.open(100, "/events/flood", "data: x").await;
    let all = All::read(server.open(900, "/events/leave", "data: hello\n\n").await);
    let left = server.leave().await;
    println!("1,000 connections, 100 of which do not read, a deadline of {DEADLINE:?}: left in {:?}", left.took);
    assert!(left.status.success(), "{left:?}");
    assert_eq!(left.drained, "900 100 dropped");
    assert_eq!(left.reasons, r#"{"drained": 900, "stalled": 100}"#);
    assert!(all.ended().await.iter().all(|text| retry(text).is_some()));
    drop(stalled);
}

/// A deadline that suffices for all streams that end themselves, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
