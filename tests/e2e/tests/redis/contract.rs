//! The suite that each backplane has to pass.

use std::sync::atomic::{AtomicUsize, Ordering};

use tower_sse::backplane::{redis::Redis, suite};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn redis_keeps_the_contract() {
    let server = tower_sse_e2e::redis::Redis::start(&[]).expect("it starts");
    let fresh = AtomicUsize::new(0);
    suite::run(|| {
        let prefix = format!("hub{}", fresh.fetch_add(1, Ordering::Relaxed));
        let url = server.url();
        move || Redis::new(&url).expect("it is a URL").prefix(&prefix)
    })
    .await;
}
