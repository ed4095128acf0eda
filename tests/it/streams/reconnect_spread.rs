//! Clients whose streams a drain ends do not reconnect in the same second.
//!
//! ```sh
//! cargo test --test it spread -- --nocapture
//! ```

use tower_sse::streams::Streams;

use super::{SECOND, endless, read, retry, serve};
use crate::support::Recording;

/// The number of parts of the spread in which reconnects are counted.
const PARTS: usize = 10;

#[tokio::test(start_paused = true)]
async fn ten_thousand_reconnect_evenly_over_the_spread() {
    let streams = Streams::builder().reconnect_spread(20 * SECOND).build();
    let service = serve(&endless(&streams, &Recording::default()).retry(2 * SECOND));
    let mut bodies = Vec::new();
    for _ in 0..10_000 {
        let mut body = read(&service).await;
        while body.poll_once().is_ready() {}
        bodies.push(body);
    }
    streams.start_drain();
    let mut parts = [0_usize; PARTS];
    for body in &mut bodies {
        let last = body.rest().await.pop().unwrap();
        let after = usize::try_from(retry(&last).unwrap()).unwrap() - 2_000;
        parts[(after * PARTS / 20_001).min(PARTS - 1)] += 1;
    }
    println!("reconnects of 10,000 streams in each 2 s of their 2 to 22 s: {parts:?}");
    assert_eq!(parts.iter().sum::<usize>(), 10_000);
    // 1,000 each, with a standard deviation of 30.
    assert!(parts.iter().all(|part| part.abs_diff(1_000) < 200), "{parts:?}");
    assert_eq!(streams.len(), 0);
}
