//! Measures the CPU time for a delivered event with a current-thread runtime for each core, and one hub for all of them.
//!
//! ```sh
//! cargo run --release -p tower-sse-micro --bin cores -- 2 500 2000     # runtimes, streams in each, events
//! cargo run --release -p tower-sse-micro --bin cores -- 2 500 2000 2   # two hubs: nothing is shared
//! ```
//!
//! Without sockets. A thread of its own publishes an event each millisecond; all streams of all runtimes become ready at the
//! same time. Counted is the time that the threads of the runtimes ran, as the kernel has it.

use std::{
    convert::Infallible,
    env, fs,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use http::{HeaderValue, Request, Response, header::ACCEPT};
use http_body::Body;
use memchr::memmem;
use tokio::{runtime, time};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{
    BodyError, Event, SseLayer,
    hub::{Hub, Subscribe},
};

type Stream = Pin<Box<dyn Body<Data = bytes::Bytes, Error = BodyError> + Send>>;

fn main() {
    let mut numbers = env::args().skip(1).filter_map(|number| number.parse::<u64>().ok());
    let (runtimes, streams) = (numbers.next().unwrap_or(2), numbers.next().unwrap_or(500));
    let events = numbers.next().unwrap_or(2000);
    let hubs: Vec<_> = (0..numbers.next().unwrap_or(1)).map(|_| Hub::new()).collect();
    let barrier = Arc::new(Barrier::new(usize::try_from(runtimes).unwrap_or(1) + 1));
    let threads: Vec<_> = hubs
        .iter()
        .cycle()
        .take(usize::try_from(runtimes).unwrap_or(1))
        .map(|hub| {
            let (hub, barrier) = (hub.clone(), Arc::clone(&barrier));
            thread::spawn(move || serve(&hub, streams, events, &barrier))
        })
        .collect();
    barrier.wait();
    let topics: Vec<_> = hubs.iter().map(|hub| hub.topic("a").expect("the hub has room")).collect();
    let event = Event::new("x".repeat(64));
    for _ in 0..events {
        for topic in &topics {
            topic.publish(event.clone()).try_result().expect("the event is small");
        }
        thread::sleep(Duration::from_millis(1));
    }
    let spent: u64 = threads.into_iter().map(|thread| thread.join().expect("a runtime runs to its end")).sum();
    println!("{} ns for a delivered event", spent / (runtimes * streams * events));
}

/// Reads this many streams to their last event. Returns the nanoseconds that it took of this thread.
fn serve(hub: &Hub, streams: u64, events: u64, barrier: &Barrier) -> u64 {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be had");
    let (polled, delivered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    runtime.block_on(async {
        for _ in 0..streams {
            let body = answered(hub).await;
            tokio::spawn(read(body, Arc::clone(&polled), Arc::clone(&delivered)));
        }
        while polled.load(Ordering::Relaxed) < streams {
            time::sleep(Duration::from_millis(1)).await;
        }
        let heads = delivered.load(Ordering::Relaxed);
        barrier.wait();
        let before = ran();
        let all = events * streams;
        while delivered.load(Ordering::Relaxed) - heads < all {
            time::sleep(Duration::from_millis(5)).await;
        }
        ran() - before
    })
}

/// Counts the events of a body.
async fn read(mut body: Stream, polled: Arc<AtomicU64>, delivered: Arc<AtomicU64>) {
    let mut is_first = true;
    loop {
        let frame = poll_fn(|cx| {
            let frame = body.as_mut().poll_frame(cx);
            if frame.is_pending() && std::mem::take(&mut is_first) {
                polled.fetch_add(1, Ordering::Relaxed);
            }
            frame
        });
        let Some(Ok(frame)) = frame.await else { return };
        let events = frame.data_ref().map_or(0, |data| memmem::find_iter(data, b"\n\n").count());
        delivered.fetch_add(events as u64, Ordering::Relaxed);
    }
}

async fn answered(hub: &Hub) -> Stream {
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("a")));
    let page = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    let mut request = Request::new(());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    let mut service = layer.layer(page);
    let answered = service.ready().await.expect("it is ready").call(request).await;
    Box::pin(answered.expect("it answers").into_body())
}

/// Returns the nanoseconds that this thread ran.
fn ran() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    stat.split(' ').next().and_then(|ran| ran.parse().ok()).expect("a number")
}
