//! Cost of an event in Redis, and its latency from one node to a client of another.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::{AsyncConnectionConfig, Client, Value, aio::MultiplexedConnection, cmd};
use tower_sse::hub::{Hub, Subscription};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, data, hub, publish, reader, within};

const EVENTS: u32 = 200;

/// The cost of all events in Redis.
#[derive(Debug)]
struct Cost {
    /// The number of calls of each of [`COMMANDS`].
    calls: [u32; 6],
    /// The elapsed time.
    took: Duration,
    /// The CPU time of Redis for one event, in microseconds.
    micros: f64,
}

const COMMANDS: [&str; 6] = ["evalsha", "xread", "xadd", "xrange", "xtrim", "xinfo|stream"];

/// The time after which a blocked node reads although there is no new entry.
const WAIT: Duration = Duration::from_millis(800);

impl Cost {
    /// Asserts one publish for each event, and one blocking and one other read on each of two nodes. Further reads follow a wait
    /// without an event, which no event causes. The calls within a script are counted too.
    fn assert_calls(&self) {
        let [scripts, waits, added, ranges, trimmed, looks] = self.calls;
        assert_eq!((added, trimmed), (EVENTS, EVENTS), "{COMMANDS:?} {self:?}");
        assert_eq!((scripts, ranges), (EVENTS + looks, 3 * looks), "{COMMANDS:?} {self:?}");
        assert!(waits.abs_diff(looks) <= 2, "{COMMANDS:?} {self:?}");
        let idle = 2.0 * (self.took.as_secs_f64() / WAIT.as_secs_f64() + 1.0);
        assert!(looks >= 2 * EVENTS && f64::from(looks - 2 * EVENTS) <= idle, "{COMMANDS:?} {self:?}");
    }
}

/// Two nodes, with one client each that is read in turn.
struct Two {
    near: Hub,
    readers: [Subscription; 2],
}

impl Two {
    async fn new(near: Hub, far: &Hub) -> Self {
        let readers = [reader(&near).await, reader(far).await];
        Self { near, readers }
    }

    /// Returns the run with the least CPU time, because the machine may be busy.
    async fn cost(&mut self, redis: &Redis, beside: Option<&Hub>) -> Cost {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(self.once(redis, beside).await);
        }
        runs.iter().for_each(Cost::assert_calls);
        runs.into_iter().min_by(|a, b| a.micros.total_cmp(&b.micros)).expect("at least one run")
    }

    /// Publishes events in sequence, each once both clients have read the one before.
    async fn once(&mut self, redis: &Redis, beside: Option<&Hub>) -> Cost {
        redis.cli(&["CONFIG", "RESETSTAT"]).expect("the command succeeds");
        let (began, before) = (Instant::now(), cpu_seconds(redis));
        for number in 0..EVENTS {
            if let Some(beside) = beside {
                publish(beside, "beside").await;
            }
            publish(&self.near, &number.to_string()).await;
            for reader in &mut self.readers {
                assert_eq!(data(reader).await, number.to_string());
            }
        }
        let micros = (cpu_seconds(redis) - before) / f64::from(EVENTS) * 1e6;
        let said = redis.cli(&["INFO", "commandstats"]).expect("the command succeeds");
        let calls = |command: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
        };
        Cost { calls: COMMANDS.map(calls), took: began.elapsed(), micros }
    }
}

/// Returns the CPU time of Redis in seconds.
fn cpu_seconds(redis: &Redis) -> f64 {
    let seconds = |name| redis.info(name).expect("the command succeeds").parse::<f64>().expect("a number");
    seconds("used_cpu_user") + seconds("used_cpu_sys")
}

/// Asserts that the CPU time does not grow with a number that is a thousand times larger, which would multiply it by hundreds.
/// The exact figures are printed.
fn assert_same(less: &Cost, more: &Cost) {
    assert!(more.micros <= less.micros * 20.0, "{less:?} {more:?}");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn cost_is_independent_of_the_number_of_subscribers() {
    let redis = Redis::start(&[]).expect("the server starts");
    let far = hub(&redis.url());
    let mut nodes = Two::new(hub(&redis.url()), &far).await;
    // As many subscribers read a hub without Redis, so that the machine is as busy and the caches are as cold.
    let beside = Hub::new();
    add_readers(&beside).await;
    let one = nodes.cost(&redis, Some(&beside)).await;
    add_readers(&far).await;
    let thousand = nodes.cost(&redis, None).await;
    println!("calls of {COMMANDS:?} for {EVENTS} events, two nodes\n1 subscriber: {one:.2?}\n1,000: {thousand:.2?}");
    assert_same(&one, &thousand);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn cost_is_independent_of_the_number_of_topics() {
    let redis = Redis::start(&[]).expect("the server starts");
    let far = Hub::builder()
        .max_topics(20_000)
        .build_with_backplane(backplane(&redis.url()).build().expect("the settings are valid"));
    let mut nodes = Two::new(hub(&redis.url()), &far).await;
    let one = nodes.cost(&redis, None).await;
    let mut others = Vec::new();
    for number in 0..10_000 {
        let mut other = far.subscribe(format!("other {number}")).expect("the hub has room");
        assert!(other.next().await.is_some(), "a new client is greeted");
        others.push(other);
    }
    let ten_thousand = nodes.cost(&redis, None).await;
    println!("calls of {COMMANDS:?} for {EVENTS} events, two nodes\n1 topic: {one:.2?}\n10,000: {ten_thousand:.2?}");
    assert_same(&one, &ten_thousand);
}

async fn add_readers(hub: &Hub) {
    for _ in 0..999 {
        let mut reader = reader(hub).await;
        tokio::spawn(async move { reader.by_ref().for_each(|_| std::future::ready(())).await });
    }
    // All have read the retained events: a million, during which no other task would run on the shared thread. The one reader
    // that is left is read by the test itself.
    within(hub.topic("topic").expect("the hub has room").wait_for_readers(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn latency_to_a_client_of_another_node_is_printed() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut client = reader(&far).await;
    let mut through = Vec::new();
    for number in 0..1000 {
        let began = Instant::now();
        // Not awaited: the client may receive the event before the acknowledgement.
        let published = near.topic("topic").expect("the hub has room").publish(tower_sse::Event::new("x"));
        assert_eq!(data(&mut client).await, "x", "{number}");
        through.push(began.elapsed());
        published.await.expect("the publish succeeds");
    }
    let bare = bare(&redis).await;
    let (through, bare) = (quantiles(through), quantiles(bare));
    println!("publish to client of another node: median {:?}, p99 {:?}", through.0, through.1);
    println!("bare XADD and XREAD: median {:?}, p99 {:?}", bare.0, bare.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn cost_of_events_at_once_is_printed() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut nodes = [reader(&near).await, reader(&far).await];
    let topic = near.topic("topic").expect("the hub has room");
    let (began, before) = (Instant::now(), cpu_seconds(&redis));
    for round in 0..FLOOD / AT_ONCE {
        let numbers = (0..AT_ONCE).map(|number| (round * AT_ONCE + number).to_string());
        let numbers: Vec<_> = numbers.collect();
        let published = numbers.iter().map(|number| topic.publish(tower_sse::Event::new(number)));
        for published in published.collect::<Vec<_>>() {
            published.await.expect("the publish succeeds");
        }
        for node in &mut nodes {
            assert_reads(node, &numbers).await;
        }
    }
    let micros = (cpu_seconds(&redis) - before) / f64::from(FLOOD) * 1e6;
    let rate = f64::from(FLOOD) / began.elapsed().as_secs_f64();
    println!(
        "{AT_ONCE} at once, two nodes: {micros:.1} µs of CPU time of redis for an event, {rate:.0} events a second"
    );
}

async fn assert_reads(node: &mut Subscription, expected: &[String]) {
    for expected in expected {
        assert_eq!(data(node).await, *expected);
    }
}

/// Measures the time from an `XADD` on one connection to a blocked `XREAD` on another.
async fn bare(redis: &Redis) -> Vec<Duration> {
    let (mut add, mut read) = (connection(redis).await, connection(redis).await);
    let mut last = "0-0".to_owned();
    let mut times = Vec::new();
    for _ in 0..1000 {
        let mut wait = cmd("XREAD");
        wait.arg("BLOCK").arg(1000).arg("STREAMS").arg("bare").arg(&last);
        let mut reader = read.clone();
        let read = tokio::spawn(async move { wait.query_async::<Value>(&mut reader).await });
        tokio::task::yield_now().await;
        let began = Instant::now();
        last = cmd("XADD")
            .arg("bare")
            .arg("*")
            .arg("data")
            .arg("x")
            .query_async(&mut add)
            .await
            .expect("the command succeeds");
        read.await.expect("the task does not panic").expect("the entry is read");
        times.push(began.elapsed());
    }
    let _: () = cmd("PING").query_async(&mut read).await.expect("redis responds");
    times
}

async fn connection(redis: &Redis) -> MultiplexedConnection {
    let client = Client::open(redis.url()).expect("a valid URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.expect("redis responds")
}

fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// The number of measurements.
const RUNS: usize = 4;

const FLOOD: u32 = 20_000;

const AT_ONCE: u32 = 1000;
