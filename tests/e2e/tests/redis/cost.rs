//! The cost of an event to Redis, and the latency from one node to a client of another.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::{AsyncConnectionConfig, Client, Value, aio::MultiplexedConnection, cmd};
use tower_sse::hub::{Hub, Subscription};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, data, hub, publish, reader, within};

const EVENTS: u32 = 200;

/// The cost of all the events to Redis.
#[derive(Debug)]
struct Cost {
    /// The number of calls of each command.
    calls: [u32; 6],
    /// The time that it took.
    took: Duration,
    /// The processor time for one event, in microseconds.
    micros: f64,
}

const COMMANDS: [&str; 6] = ["evalsha", "xread", "xadd", "xrange", "xtrim", "xinfo|stream"];

/// The time after which an idle node reads again.
const WAIT: Duration = Duration::from_millis(800);

impl Cost {
    /// One publishes, and each of two nodes waits and looks once for an event. Beside that a node looks only when it has waited
    /// in vain, which is no event's cost. Each call of a script is one of what it calls, too.
    fn assert_calls(&self) {
        let [scripts, waits, added, ranges, trimmed, looks] = self.calls;
        assert_eq!((added, trimmed), (EVENTS, EVENTS), "{COMMANDS:?} {self:?}");
        assert_eq!((scripts, ranges), (EVENTS + looks, 3 * looks), "{COMMANDS:?} {self:?}");
        assert!(waits.abs_diff(looks) <= 2, "{COMMANDS:?} {self:?}");
        let in_vain = 2.0 * (self.took.as_secs_f64() / WAIT.as_secs_f64() + 1.0);
        assert!(looks >= 2 * EVENTS && f64::from(looks - 2 * EVENTS) <= in_vain, "{COMMANDS:?} {self:?}");
    }
}

/// Two nodes, with one client each that is waited for.
struct Two {
    near: Hub,
    readers: [Subscription; 2],
}

impl Two {
    async fn new(near: Hub, far: &Hub) -> Self {
        let readers = [reader(&near).await, reader(far).await];
        Self { near, readers }
    }

    /// The run with the least time on the processor: the machine is busy with other things too.
    async fn cost(&mut self, redis: &Redis, beside: Option<&Hub>) -> Cost {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(self.once(redis, beside).await);
        }
        runs.iter().for_each(Cost::assert_calls);
        runs.into_iter().min_by(|a, b| a.micros.total_cmp(&b.micros)).expect("there are some")
    }

    /// Publishes one after the other, each when both nodes have read the one before it.
    async fn once(&mut self, redis: &Redis, beside: Option<&Hub>) -> Cost {
        redis.cli(&["CONFIG", "RESETSTAT"]).expect("it does");
        let (began, before) = (Instant::now(), processor(redis));
        for number in 0..EVENTS {
            if let Some(beside) = beside {
                publish(beside, "beside").await;
            }
            publish(&self.near, &number.to_string()).await;
            for reader in &mut self.readers {
                assert_eq!(data(reader).await, number.to_string());
            }
        }
        let micros = (processor(redis) - before) / f64::from(EVENTS) * 1e6;
        let said = redis.cli(&["INFO", "commandstats"]).expect("it says");
        let calls = |command: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("it is a number"))
        };
        Cost { calls: COMMANDS.map(calls), took: began.elapsed(), micros }
    }
}

/// The seconds that it had a processor.
fn processor(redis: &Redis) -> f64 {
    let seconds = |name| redis.info(name).expect("it says").parse::<f64>().expect("it is a number");
    seconds("used_cpu_user") + seconds("used_cpu_sys")
}

/// No time on the processor that grows with what there are a thousand of, which would be hundreds of times as much. How much
/// it is exactly is printed.
fn assert_same(less: &Cost, more: &Cost) {
    assert!(more.micros <= less.micros * 20.0, "{less:?} {more:?}");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn redis_cost_is_independent_of_subscribers() {
    let redis = Redis::start(&[]).expect("it starts");
    let far = hub(&redis.url());
    let mut nodes = Two::new(hub(&redis.url()), &far).await;
    // As many read beside it what Redis has nothing to do with: so the machine is as busy, and Redis's caches as cold.
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
async fn redis_cost_is_independent_of_topics() {
    let redis = Redis::start(&[]).expect("it starts");
    let far = Hub::builder().max_topics(20_000).build_with_backplane(backplane(&redis.url()));
    let mut nodes = Two::new(hub(&redis.url()), &far).await;
    let one = nodes.cost(&redis, None).await;
    let mut others = Vec::new();
    for number in 0..10_000 {
        let mut other = far.subscribe(format!("other {number}")).expect("there is room");
        assert!(other.next().await.is_some(), "it is told where it begins");
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
    // All have what is kept: a million events, between which nothing else would come to run in a thread that they share. But
    // for the last, that is: who is read by hand has not come back for more.
    within(hub.topic("topic").expect("there is room").wait_for_readers(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn event_reaches_a_client_of_another_node() {
    let redis = Redis::start(&[]).expect("it starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut client = reader(&far).await;
    let mut through = Vec::new();
    for number in 0..1000 {
        let began = Instant::now();
        // Not waited for: the client may have it before the publisher knows.
        let published = near.topic("topic").expect("there is room").publish(tower_sse::Event::new("x"));
        assert_eq!(data(&mut client).await, "x", "{number}");
        through.push(began.elapsed());
        published.await.expect("it is published");
    }
    let bare = bare(&redis).await;
    let (through, bare) = (quantiles(through), quantiles(bare));
    println!("publish to client of another node: median {:?}, p99 {:?}", through.0, through.1);
    println!("bare XADD and XREAD: median {:?}, p99 {:?}", bare.0, bare.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn flood_is_read_by_all_nodes() {
    let redis = Redis::start(&[]).expect("it starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut nodes = [reader(&near).await, reader(&far).await];
    let topic = near.topic("topic").expect("there is room");
    let (began, before) = (Instant::now(), processor(&redis));
    for round in 0..FLOOD / AT_ONCE {
        let numbers = (0..AT_ONCE).map(|number| (round * AT_ONCE + number).to_string());
        let numbers: Vec<_> = numbers.collect();
        let published = numbers.iter().map(|number| topic.publish(tower_sse::Event::new(number)));
        for published in published.collect::<Vec<_>>() {
            published.await.expect("it is published");
        }
        for node in &mut nodes {
            assert_reads(node, &numbers).await;
        }
    }
    let micros = (processor(&redis) - before) / f64::from(FLOOD) * 1e6;
    let rate = f64::from(FLOOD) / began.elapsed().as_secs_f64();
    println!(
        "{AT_ONCE} at once, two nodes: {micros:.1} µs of redis's processor for an event, {rate:.0} events a second"
    );
}

async fn assert_reads(node: &mut Subscription, expected: &[String]) {
    for expected in expected {
        assert_eq!(data(node).await, *expected);
    }
}

/// An entry added on one connection and read on another that waits for it.
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
        last = cmd("XADD").arg("bare").arg("*").arg("data").arg("x").query_async(&mut add).await.expect("it does");
        read.await.expect("it waits").expect("it is read");
        times.push(began.elapsed());
    }
    let _: () = cmd("PING").query_async(&mut read).await.expect("it is there");
    times
}

async fn connection(redis: &Redis) -> MultiplexedConnection {
    let client = Client::open(redis.url()).expect("it is a URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.expect("it is there")
}

fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// The number of measurements.
const RUNS: usize = 4;

const FLOOD: u32 = 20_000;

const AT_ONCE: u32 = 1000;
