//! The memory cost of a request: nothing by the layer if it is not for events, and the cost of an event stream.
//!
//! A program of its own, since it counts what its process allocates: the thread of a test harness would be counted too.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    sync::Arc,
    task::Poll,
};

use bytes::{Buf, Bytes};
use futures_util::{
    FutureExt,
    stream::{self, Stream},
};
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service};
use tower_sse::{
    Event, Events, IntoReply, Refusal, RequestHead, SseLayer,
    access::{AccessCheck, AccessDecision},
    observe::{Observer, StreamObserver},
    streams::{OnDrain, Streams},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime is built");
    let _timers = runtime.enter();
    let _profiler = dhat::Profiler::builder().testing().build();
    a_request_that_is_not_for_events_costs_nothing();
    an_event_stream_costs_eight_blocks();
    a_hook_that_is_not_there_costs_nothing();
    only_a_frame_of_several_events_costs_anything();
    an_event_is_one_block_of_its_own_size();
}

fn a_request_that_is_not_for_events_costs_nothing() {
    let inside = || tower::service_fn(page);
    let alone = whole("a page by itself", inside(), get("text/event-stream"));

    let mut post = get("text/event-stream");
    *post.method_mut() = Method::POST;
    assert_eq!(whole("by POST", events().layer(inside()), post), alone);
    let only = events().when(|head| head.uri().path() == "/events");
    assert_eq!(whole("where `only` says no", only.layer(inside()), get("text/event-stream")), alone);
    let decorate = SseLayer::decorate();
    assert_eq!(whole("decorated, and no event stream", decorate.layer(inside()), get("text/event-stream")), alone);

    // Where `Accept` decides, `Vary` is added to the page's headers, which have room for it.
    assert_eq!(whole("by its `Accept`", events().layer(inside()), get("text/html, */*;q=0.8")), alone);
    let observed = events().observer(Watching);
    assert_eq!(whole("by its `Accept`, observed", observed.layer(inside()), get("text/html")), alone);
    // A page without any headers gets its first: a map of two blocks.
    let bare = || tower::service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("a page")))));
    let alone = whole("a page without headers", bare(), get("*/*"));
    let vary = whole("the same, by its `Accept`", events().layer(bare()), get("*/*"));
    assert_eq!(vary.blocks, alone.blocks + 2);
}

fn an_event_stream_costs_eight_blocks() {
    // Two for the headers, three for the extension that marks the response, the future of the event service, the running stream,
    // and its control block.
    let (answer, _) = answer(&events());
    println!("the answer to a request for events: {answer:?}");
    assert_eq!(answer.blocks, 8);
    // A copy of the request's head with its headers, and the part that observer and control block share; the observer has nothing
    // to box. Four for the extension by which an inner layer finds that the stream is observed, if the head is sent first.
    let (observed, _) = self::answer(&events().observer(Watching));
    println!("the same, observed: {observed:?}");
    assert_eq!(observed.blocks, 8 + 6 + 4);
    // The state of the request, and the resources in the control block; three for the extension by which an inner layer
    // finds the slot. The key is the user's, and is looked up; the table of slots grows as needed.
    let streams = Streams::builder().stall_timeout(None).build();
    let counted = events().streams(&streams).stream_key(|_| Some(Arc::from("a user")));
    let held: Vec<_> = (0..100).map(|_| self::answer(&counted).1).collect();
    let (counted, _) = self::answer(&counted);
    println!("the same, counted by a key: {counted:?}");
    assert_eq!(counted.blocks, 8 + 2 + 3 + 1);
    drop(held);
}

/// Settings without a hook are one value of the layer, whatever their number.
fn a_hook_that_is_not_there_costs_nothing() {
    let (alone, response) = answer(&events());
    let size = size_of_val(response.body());
    let minute = std::time::Duration::from_secs(60);
    let (with_settings, response) = answer(&events().lifetime(minute).on_drain(OnDrain::Finish).retry(minute));
    assert_eq!((with_settings, size_of_val(response.body())), (alone, size));
    let watched = events()
        .observer(Watching)
        .streams(&Streams::new())
        .access(AccessCheck::every(minute, |_| ready(AccessDecision::Allow)));
    assert_eq!(size_of_val(answer(&watched).1.body()), size, "the state of a hook is kept elsewhere");
}

fn only_a_frame_of_several_events_costs_anything() {
    let event = Event::new("an event");
    let layer = SseLayer::from_fn(move |_: Request<()>| ready(Events::new(bursts(event.clone()))));
    // The first stream of a runtime creates its timer wheel.
    let mut first = std::pin::pin!(answer(&layer).1.into_body());
    while first.as_mut().frame().now_or_never().is_some() {}
    let (_, response) = answer(&layer);
    let mut body = std::pin::pin!(response.into_body());
    let mut poll = |what: &str| {
        let (cost, polled) = cost(|| body.as_mut().frame().now_or_never());
        println!("{what}: {cost:?}");
        let frame = polled.map(|frame| frame.expect("the stream continues").ok().expect("no error"));
        (cost.blocks, frame.and_then(|frame| frame.into_data().ok()).map_or(0, |data| data.remaining()))
    };
    assert_eq!(poll("the prelude"), (0, 2));
    assert_eq!(poll("one event"), (0, EVENT_BYTES));
    let (blocks, bytes) = poll("nothing, and the timer is set");
    assert!(blocks <= 2 && bytes == 0, "{blocks}: the stream may be the first of its tick");
    assert_eq!(poll("two events"), (2, 2 * EVENT_BYTES));
    assert_eq!(poll("two hundred events"), (2, 200 * EVENT_BYTES));
    assert_eq!(poll("nothing"), (0, 0));
}

fn an_event_is_one_block_of_its_own_size() {
    let held = |what: &str, make: &dyn Fn() -> Event| {
        let before = dhat::HeapStats::get();
        let event = make();
        let after = dhat::HeapStats::get();
        let held = (after.curr_blocks - before.curr_blocks, after.curr_bytes - before.curr_bytes);
        assert_eq!(held, (1, event.encoded_len()), "{what}");
    };
    // The thread's buffer for JSON is allocated once.
    let json = |size: usize| Event::json(&"x".repeat(size)).expect("the value is JSON");
    json(4000);
    for size in [1, 100, 2000] {
        held("one line", &|| Event::new("x".repeat(size)));
        held("many lines", &|| Event::new("x\n".repeat(size)));
        held("long lines", &|| Event::new(["x".repeat(size).as_str(); 3].join("\r\n")));
    }
    for size in [1, 100, 4000] {
        held("JSON", &|| json(size));
    }
    let (cost, _) = cost(|| Event::new("one line"));
    assert_eq!(cost.blocks, 1, "no temporary block");
}

/// Returns so many events, with a pause after each burst.
fn bursts(event: Event) -> impl Stream<Item = Event> {
    let mut bursts = [1, 0, 2, 200].into_iter();
    let mut left = bursts.next();
    stream::poll_fn(move |_| match &mut left {
        None => Poll::Pending,
        Some(0) => {
            left = bursts.next();
            Poll::Pending
        }
        Some(more) => {
            *more -= 1;
            Poll::Ready(Some(event.clone()))
        }
    })
}

fn events() -> SseLayer<impl Service<Request<()>, Response: IntoReply, Error: Into<Refusal>> + Clone> {
    SseLayer::from_fn(|_| ready(Events::new(stream::pending::<Event>())))
}

/// A number of blocks, and the bytes of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    blocks: u64,
    bytes: u64,
}

fn cost<T>(run: impl FnOnce() -> T) -> (Cost, T) {
    let before = dhat::HeapStats::get();
    let value = run();
    let after = dhat::HeapStats::get();
    let cost = Cost { blocks: after.total_blocks - before.total_blocks, bytes: after.total_bytes - before.total_bytes };
    (cost, value)
}

fn page(_: Request<()>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let mut response = Response::new("the page".into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    ready(Ok(response))
}

fn get(accept: &'static str) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
    request
}

/// Returns the allocations of a request from its beginning to the end of its answer.
fn whole<S, B>(what: &str, mut service: S, request: Request<()>) -> Cost
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug>,
    B: Body<Error: Debug>,
{
    let (cost, ()) = cost(|| {
        let response = service.call(request).now_or_never().expect("at once").expect("no error");
        let mut body = std::pin::pin!(response.into_body());
        while let Some(frame) = body.as_mut().frame().now_or_never().expect("at once") {
            frame.expect("no error");
        }
    });
    println!("{what}: {cost:?}");
    cost
}

fn answer<E>(layer: &SseLayer<E>) -> (Cost, Response<impl Body + use<E>>)
where
    E: Service<Request<()>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let mut service = layer.layer(tower::service_fn(page));
    let request = get("text/event-stream");
    cost(|| service.call(request).now_or_never().expect("at once").expect("no error"))
}

/// An observer of each stream that records nothing.
struct Watching;

impl Observer for Watching {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(Self))
    }
}

impl StreamObserver for Watching {}

const EVENT_BYTES: usize = "data: an event\n\n".len();
