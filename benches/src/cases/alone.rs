//! Cases without clients: the cost of a publish to its caller, and the times of the hot paths.

use std::{
    env,
    future::poll_fn,
    io,
    pin::Pin,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::text;
use futures_core::Stream;
use tokio::{
    runtime,
    sync::{broadcast, mpsc},
    task,
};
use tower_sse::{
    Event,
    hub::{Hub, Subscribe, Update},
};

use super::Run;
use crate::{
    figure::{Figure, NS},
    process::{LOAD_CORE, SERVER_CORE, pin},
    rounds,
};

/// The cost of a publish, and the hot paths by the clock.
pub(crate) fn alone(run: &mut Run) -> io::Result<()> {
    let published = publish(run);
    micro(run)?;
    published
}

/// In a process of its own, so that its runtime is like that of a server.
fn publish(run: &mut Run) -> io::Result<()> {
    pin(Some(SERVER_CORE))?;
    let output = Command::new(env::current_exe()?).arg("publish-cost").stderr(Stdio::inherit()).output();
    pin(Some(LOAD_CORE))?;
    for line in String::from_utf8_lossy(&output?.stdout).lines() {
        let mut words = line.split(' ');
        if let (Some(server), Some(subscribers), Some(Ok(value))) =
            (words.next(), words.next(), words.next().map(str::parse))
        {
            let case = match subscribers {
                BESIDE => "publish, 1 subscriber, just after 10000 of another topic".to_owned(),
                _ => format!("publish, {subscribers} subscribers"),
            };
            run.add(vec![Figure::single(&case, server, NS, value)])?;
        }
    }
    Ok(())
}

/// Encoding and the like, by the clock.
fn micro(run: &mut Run) -> io::Result<()> {
    for case in tower_sse_micro::CASES {
        // The shortest of several: what disturbs only adds.
        let time = (0..run.scale.rounds.max(5)).map(|_| timed(case)).min().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds are few")]
        let value = time.as_nanos() as f64 / f64::from(TIMES);
        run.add(vec![Figure::single(case.name, case.whose, NS, value)])?;
    }
    Ok(())
}

fn timed(case: &tower_sse_micro::Case) -> Duration {
    let mut run = (case.prepare)();
    run(TIMES / 10);
    let begun = Instant::now();
    run(TIMES);
    begun.elapsed()
}

/// Prints, for this crate and for tokio's broadcast, how long a publish takes the caller within the runtime.
pub(crate) fn publish_cost() -> io::Result<()> {
    for subscribers in [1, 100, 10_000] {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        println!("us {subscribers} {}", runtime.block_on(hub(subscribers)).map_err(io::Error::other)?);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        println!("broadcast {subscribers} {}", runtime.block_on(tokio_broadcast(subscribers)));
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    println!("us {BESIDE} {}", runtime.block_on(beside(10_000)).map_err(io::Error::other)?);
    Ok(())
}

async fn hub(subscribers: usize) -> Result<f64, tower_sse::BoxError> {
    let hub = Hub::new();
    let topic = hub.topic("events")?;
    let mut all = watched(&hub, "events", subscribers)?;
    let event = Event::new(text::data(0, 64));
    Ok(median_of(subscribers, &mut all, || _ = topic.publish(event.clone())).await)
}

/// The same for a topic that one watches, each time just after the many of another topic have run: they leave nothing of the
/// publisher's in the caches.
async fn beside(others: usize) -> Result<f64, tower_sse::BoxError> {
    let hub = Hub::new();
    let (topic, other) = (hub.topic("events")?, hub.topic("others")?);
    let (mut one, mut many) = (watched(&hub, "events", 1)?, watched(&hub, "others", others)?);
    let event = Event::new(text::data(0, 64));
    for _ in 0..10 {
        task::yield_now().await;
    }
    let mut times = Vec::new();
    for _ in 0..PUBLISHES {
        _ = other.publish(event.clone());
        for _ in 0..others {
            many.recv().await;
        }
        let begun = Instant::now();
        _ = topic.publish(event.clone());
        times.push(begun.elapsed().as_secs_f64() * 1e9);
        one.recv().await;
    }
    Ok(rounds::median(&times))
}

/// So many subscribers, each in a task of its own, and what each says when it has an event.
fn watched(hub: &Hub, topic: &str, subscribers: usize) -> Result<mpsc::UnboundedReceiver<()>, tower_sse::BoxError> {
    let (done, all) = mpsc::unbounded_channel();
    for _ in 0..subscribers {
        let (mut subscription, done) = (hub.subscribe(Subscribe::to(topic))?, done.clone());
        task::spawn(async move {
            while let Some(update) = poll_fn(|cx| Pin::new(&mut subscription).poll_next(cx)).await {
                let _ = matches!(update, Update::Event { .. }).then(|| done.send(()));
            }
        });
    }
    Ok(all)
}

async fn tokio_broadcast(subscribers: usize) -> f64 {
    let (sender, _) = broadcast::channel(16);
    let (done, mut all) = mpsc::unbounded_channel();
    for _ in 0..subscribers {
        let (mut receiver, done) = (sender.subscribe(), done.clone());
        task::spawn(async move {
            while let Ok(event) = receiver.recv().await {
                drop::<Event>(event);
                let _ = done.send(());
            }
        });
    }
    let event = Event::new(text::data(0, 64));
    median_of(subscribers, &mut all, || _ = sender.send(event.clone())).await
}

/// The median time of a publish, each of which all clients have before the next.
async fn median_of(subscribers: usize, all: &mut mpsc::UnboundedReceiver<()>, mut publish: impl FnMut()) -> f64 {
    for _ in 0..10 {
        task::yield_now().await;
    }
    let mut times = Vec::new();
    for _ in 0..PUBLISHES {
        let begun = Instant::now();
        publish();
        times.push(begun.elapsed().as_secs_f64() * 1e9);
        for _ in 0..subscribers {
            all.recv().await;
        }
    }
    rounds::median(&times)
}

const PUBLISHES: usize = 300;

/// One subscriber, beside many of another topic.
const BESIDE: &str = "beside";

const TIMES: u32 = 20_000;
