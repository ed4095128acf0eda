//! The memory cost of a subscriber and of an event.
//!
//! A test binary of its own with one test, since it counts what its process allocates.

use std::{
    convert::Infallible,
    mem::size_of,
    task::{Context, Waker},
};

use futures_util::{FutureExt, StreamExt};
use http::{HeaderValue, Request, Response, header::ACCEPT};
use http_body_util::BodyExt;
use tower::{Layer, Service, service_fn};
use tower_sse::{
    Event, SseLayer,
    hub::{Hub, Subscribe, Subscription},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SUBSCRIBERS: usize = 4096;

#[test]
fn subscriber_allocates_as_documented() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let one = subscriber(1);
    let two = subscriber(2);
    let five = subscriber(5);
    let further = (five - two) / 3;
    println!(
        "a subscriber: {one} bytes for one topic, {further} for each further, and {} itself",
        size_of::<Subscription>()
    );
    assert!(one <= 96 && further <= 64);

    let stream = stream();
    println!("an idle stream of a topic, by the layer and the hub together: {stream} bytes");
    assert!(stream <= 320, "{stream}");

    let hub = Hub::new();
    let topic = hub.topic("a").expect("the hub has room");
    let (events, text) = (1000, "x".repeat(100));
    let before = dhat::HeapStats::get().curr_bytes;
    for _ in 0..events {
        topic.publish(Event::new(&text)).try_result().expect("the event is small");
    }
    let each = (dhat::HeapStats::get().curr_bytes - before) / events;
    println!("an event of {} bytes in the log: {each} bytes, counted as {}", text.len(), hub.bytes_used() / events);
    assert!(each <= text.len() + "data: \n\n".len() + 2 * 64);
}

/// Returns the bytes that each of many waiting subscribers adds to the hub, without its own struct.
fn subscriber(topics: usize) -> usize {
    let hub = Hub::new();
    let names: Vec<String> = (0..topics).map(|topic| topic.to_string()).collect();
    let _topics: Vec<_> = names.iter().map(|name| hub.topic(name).expect("the hub has room")).collect();
    let mut subscriptions: Vec<Subscription> = Vec::with_capacity(SUBSCRIBERS);
    let before = dhat::HeapStats::get().curr_bytes;
    for _ in 0..SUBSCRIBERS {
        let mut subscription =
            hub.subscribe(Subscribe::to_all(names.iter().map(String::as_str))).expect("the hub has room");
        let mut cx = Context::from_waker(Waker::noop());
        while subscription.poll_next_unpin(&mut cx).is_ready() {}
        subscriptions.push(subscription);
    }
    (dhat::HeapStats::get().curr_bytes - before) / SUBSCRIBERS
}

/// Returns the bytes that each of many idle streams adds: layer and hub, timer, control block and registration.
fn stream() -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime is built");
    let _timers = runtime.enter();
    let hub = Hub::new();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("a")));
    let mut service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new()))));
    let mut bodies = Vec::with_capacity(SUBSCRIBERS);
    let before = dhat::HeapStats::get().curr_bytes;
    for _ in 0..SUBSCRIBERS {
        let mut request = Request::new(());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let answered = service.call(request).now_or_never().expect("at once").expect("no error");
        let mut body = Box::pin(answered.into_body());
        while body.frame().now_or_never().is_some() {}
        bodies.push(body);
    }
    // The box is the test's own.
    (dhat::HeapStats::get().curr_bytes - before) / SUBSCRIBERS - size_of_val(&*bodies[0])
}
