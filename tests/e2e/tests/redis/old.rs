//! The age of events that a new node loads.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_sse::hub::{Hub, Retention, Start, Subscribe};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, data, publish, reader};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn loaded_events_keep_their_age() {
    let redis = Redis::start(&[]).expect("the server starts");
    let ago = |minutes: u64| {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970")
            - Duration::from_secs(60 * minutes);
        let (id, minutes) = (format!("{}-0", at.as_millis()), minutes.to_string());
        redis.cli(&["XADD", "{sse}:stream", &id, "topic", "topic", "data", &minutes]).expect("the command succeeds");
    };
    for minutes in [50, 30, 10] {
        ago(minutes);
    }
    let node = |age| {
        Hub::builder()
            .retention(Retention::new().age(age))
            .build_with_backplane(backplane(&redis.url()).age(None).build().expect("the settings are valid"))
    };
    let all = node(None);
    publish(&all, "new").await;
    let mut everything = reader(&all).await;
    for expected in ["50", "30", "10", "new"] {
        assert_eq!(data(&mut everything).await, expected);
    }
    let mut recent = reader(&node(Some(Duration::from_secs(40 * 60)))).await;
    for expected in ["30", "10", "new"] {
        assert_eq!(data(&mut recent).await, expected);
    }
    let bound = Subscribe::to("topic").start(Start::Beginning).not_older_than(Duration::from_secs(20 * 60));
    let mut bounded = all.subscribe(bound).expect("the hub has room");
    loop {
        if let Some(tower_sse::hub::Update::Event { event, .. }) =
            crate::nodes::within(futures_util::StreamExt::next(&mut bounded)).await
        {
            assert_eq!(event.data(), "10");
            break;
        }
    }
}
