//! What an event costs Redis, and how long it takes from one node to a client of another.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::{AsyncConnectionConfig, Client, Value, aio::MultiplexedConnection, cmd};
use tower_sse::{
    backplane::redis::Redis as Backplane,
    hub::{Hub, Subscription},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{data, hub, publish, reader};

const EVENTS: u32 = 300;

/// What one event costs Redis.
#[derive(Debug)]
struct Cost {
    /// How often each of these was called.
    calls: [f64; 4],
    /// Its time on the processor, in microseconds.
    micros: f64,
}

const COMMANDS: [&str; 4] = ["evalsha", "xread", "xadd", "xrange"];

/// The least of some times: the machine is busy with other things too.
async fn cost(redis: &Redis, near: &Hub, reader: &mut Subscription, beside: Option<&Hub>) -> Cost {
    let mut least = once(redis, near, reader, beside).await;
    for _ in 0..3 {
        let again = once(redis, near, reader, beside).await;
        least.micros = least.micros.min(again.micros);
    }
    least
}

/// Publishes one after the other, each when the one before it has been read.
async fn once(redis: &Redis, near: &Hub, reader: &mut Subscription, beside: Option<&Hub>) -> Cost {
    redis.cli(&["CONFIG", "RESETSTAT"]).expect("it does");
    let before = processor(redis);
    for number in 0..EVENTS {
        if let Some(beside) = beside {
            publish(beside, "beside").await;
        }
        publish(near, &number.to_string()).await;
        assert_eq!(data(reader).await, number.to_string());
    }
    let micros = (processor(redis) - before) / f64::from(EVENTS) * 1e6;
    let said = redis.cli(&["INFO", "commandstats"]).expect("it says");
    let number = |command: &str, field: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
        let number = line.and_then(|line| line.split(',').find_map(|pair| pair.strip_prefix(field)));
        number.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0) / f64::from(EVENTS)
    };
    Cost { calls: COMMANDS.map(|command| number(command, "calls=")), micros }
}

/// The seconds that it had a processor.
fn processor(redis: &Redis) -> f64 {
    let seconds = |name| redis.info(name).expect("it says").parse::<f64>().expect("it is a number");
    seconds("used_cpu_user") + seconds("used_cpu_sys")
}

/// The same but for what a node asks when nothing happens, and for a busy machine.
fn assert_same(less: &Cost, more: &Cost) {
    for ((less, more), command) in less.calls.iter().zip(more.calls).zip(COMMANDS) {
        assert!((less - more).abs() <= 0.5, "{command}: {less:.2} and {more:.2} calls for an event");
    }
    assert!(more.micros <= less.micros * 2.0 + 50.0, "{less:?} {more:?}");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn an_event_costs_redis_the_same_with_one_subscriber_and_with_a_thousand() {
    let redis = Redis::start(&[]).expect("it starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut first = reader(&far).await;
    // As many read beside it what Redis has nothing to do with: so the machine is as busy, and Redis's caches as cold.
    let beside = Hub::new();
    add_readers(&beside).await;
    let one = cost(&redis, &near, &mut first, Some(&beside)).await;
    add_readers(&far).await;
    let thousand = cost(&redis, &near, &mut first, None).await;
    println!("calls of {COMMANDS:?} for an event, two nodes\n1 subscriber: {one:.2?}\n1,000: {thousand:.2?}");
    assert_same(&one, &thousand);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn an_event_costs_redis_the_same_with_one_topic_and_with_ten_thousand() {
    let redis = Redis::start(&[]).expect("it starts");
    let near = hub(&redis.url());
    let far = Backplane::new(&redis.url()).expect("it is a URL");
    let far = Hub::builder().topics(20_000).build_on(far);
    let mut first = reader(&far).await;
    let one = cost(&redis, &near, &mut first, None).await;
    let mut others = Vec::new();
    for number in 0..10_000 {
        let mut other = far.subscribe(format!("other {number}")).expect("there is room");
        assert!(other.next().await.is_some(), "it is told where it begins");
        others.push(other);
    }
    let ten_thousand = cost(&redis, &near, &mut first, None).await;
    println!("calls of {COMMANDS:?} for an event, two nodes\n1 topic: {one:.2?}\n10,000: {ten_thousand:.2?}");
    assert_same(&one, &ten_thousand);
}

async fn add_readers(hub: &Hub) {
    for _ in 0..999 {
        let mut reader = reader(hub).await;
        tokio::spawn(async move { reader.by_ref().for_each(|_| std::future::ready(())).await });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn from_one_node_to_a_client_of_another_takes_little_more_than_redis_does() {
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
    // Far beyond what it is, and far below any wait that would be a mistake.
    assert!(through.0 < bare.0 * 10 + Duration::from_millis(10));
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
