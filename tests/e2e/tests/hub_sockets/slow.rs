//! One client of 101 does not read: it delays no other, and follows its lag policy when it reads again.

use std::time::{Duration, Instant};

use tower_sse::{
    Event,
    hub::{Hub, LagPolicy, Retention, Subscribe, Topic},
};

use crate::support::{Watcher, serve};

const HEALTHY: usize = 100;
const EVENTS: usize = 1500;

/// More than hyper and the sockets of a client that does not read can buffer.
fn event(number: usize) -> Event {
    Event::new(format!("{number} {}", "x".repeat(8000)))
}

async fn hub_with(lag: LagPolicy) -> (Hub, Topic, tower_sse_e2e::server::Server) {
    let hub = Hub::new();
    let news = hub.topic_with("news", Retention::new().events(64)).expect("the hub has room");
    let server = serve(&hub, move || Subscribe::to("news").lag(lag)).await;
    (hub, news, server)
}

/// Publishes all events to healthy clients, each once they have received the one before. Returns the time taken.
async fn publish_to(news: &Topic, healthy: &mut [Watcher], events: std::ops::Range<usize>) -> Duration {
    let begin = Instant::now();
    for number in events {
        news.publish(event(number)).try_result().expect("the event is small");
        for watcher in &mut *healthy {
            let word = watcher.word().await;
            assert!(word.starts_with(&format!("{number} ")), "each client receives every event: {word:.20}");
        }
    }
    begin.elapsed()
}

/// Returns the resident memory of the process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_reader_delays_none_and_follows_its_lag_policy() {
    let (hub, news, server) = hub_with(LagPolicy::Skip).await;
    let mut healthy = Vec::new();
    for _ in 0..HEALTHY {
        let mut watcher = Watcher::open(&server, None).await;
        assert_eq!(watcher.word().await, "subscribed");
        healthy.push(watcher);
    }
    // While all clients read; and then with one that does not.
    let alone = publish_to(&news, &mut healthy, 0..EVENTS / 5).await;
    let before = resident_kib();
    let mut stalled = Watcher::open(&server, None).await;
    let beside = publish_to(&news, &mut healthy, EVENTS / 5..EVENTS).await / 4;
    println!(
        "{HEALTHY} clients beside one that does not read: {:.2} of the rate without it; the hub keeps {} bytes; \
         the process grew by {} KiB meanwhile",
        alone.as_secs_f64() / beside.as_secs_f64(),
        hub.bytes_used(),
        resident_kib().saturating_sub(before),
    );
    assert!(hub.bytes_used() <= 64 * 8200, "a reader that does not read holds no event");

    // The client reads again: the buffered events, then the gap, then the retained events up to the newest.
    let mut words = Vec::new();
    loop {
        let word = stalled.word().await;
        let is_last = word.starts_with(&format!("{} ", EVENTS - 1));
        words.push(word);
        if is_last {
            break;
        }
    }
    assert_eq!(words[0], "subscribed");
    assert_eq!(words.iter().filter(|word| *word == "gap").count(), 1, "one gap is sent");
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.split(' ').next()?.parse().ok()).collect();
    let jumps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(jumps, 1, "events are missing only at the gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_client_is_disconnected_and_resumes_after_a_gap() {
    let (_hub, news, server) = hub_with(LagPolicy::Disconnect).await;
    let mut slow = Watcher::open(&server, None).await;
    assert_eq!(slow.word().await, "subscribed");
    for number in 0..EVENTS {
        news.publish(event(number)).try_result().expect("the event is small");
    }
    let (mut ends, mut gaps, mut newest) = (0, 0, None);
    while newest != Some(EVENTS - 1) {
        let Some(message) = slow.next().await else {
            // The client reconnects with its id, as a browser does.
            ends += 1;
            let id = slow.last_event_id().to_owned();
            slow = Watcher::open(&server, Some(&id)).await;
            continue;
        };
        match message.data().split(' ').next().and_then(|number| number.parse().ok()) {
            Some(number) => {
                assert!(newest.is_none_or(|newest| number > newest), "no event is sent twice");
                newest = Some(number);
            }
            None => gaps += 1,
        }
    }
    assert!(ends >= 1, "the client was disconnected");
    assert_eq!(gaps, ends, "each reconnect receives one gap");
}

#[tokio::test]
async fn conflating_reader_gets_the_newest_of_each_key() {
    let (_hub, news, server) = hub_with(LagPolicy::Conflate).await;
    let mut slow = Watcher::open(&server, None).await;
    assert_eq!(slow.word().await, "subscribed");
    for number in 0..EVENTS {
        let key = if number % 2 == 0 { "even" } else { "odd" };
        news.publish_keyed(key, event(number)).try_result().expect("the event is small");
    }
    let mut read = 0;
    loop {
        let word = slow.word().await;
        assert_ne!(word, "gap", "the newest of a key is never lost");
        read += 1;
        if word.starts_with(&format!("{} ", EVENTS - 1)) {
            break;
        }
    }
    println!("of {EVENTS} events of two keys {read} were read");
    assert!(read < EVENTS, "superseded events are not sent");
}
