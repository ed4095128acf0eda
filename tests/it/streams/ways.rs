//! Every promise of a layer, on every way in which a stream comes about.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_sse::{
    BodyError, Event, Events, Refusal, SseLayer,
    access::{Access, Verdict},
    streams::{OnDrain, Streams},
};

use super::{Inside, SECOND, ask_for, open_end};
use crate::support::{Hang, Reading, Told, Wait, ask, bytes, event, events, get, stream};

type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;
type AnyService = BoxCloneService<Request<String>, Response<AnyBody>, Refusal>;

/// The demands that a layer makes of its streams.
#[derive(Clone, Default)]
struct Asks {
    streams: Option<Streams>,
    key: Option<&'static str>,
    told: Option<Told>,
    access: Option<Access>,
    lifetime: Option<Duration>,
    on_drain: Option<OnDrain>,
}

impl Asks {
    fn of(streams: &Streams) -> Self {
        Self { streams: Some(streams.clone()), ..Self::default() }
    }

    fn told(self, told: &Told) -> Self {
        Self { told: Some(told.clone()), ..self }
    }

    fn by<E>(&self, layer: SseLayer<E>) -> SseLayer<E> {
        let mut layer = layer.methods(ALL);
        if let Some(streams) = &self.streams {
            layer = layer.streams(streams);
        }
        if let Some(key) = self.key {
            layer = layer.stream_key(move |_| Some(key.into()));
        }
        if let Some(told) = &self.told {
            layer = layer.observer(told.clone());
        }
        if let Some(access) = &self.access {
            layer = layer.access(access.clone());
        }
        if let Some(lifetime) = self.lifetime {
            layer = layer.lifetime(lifetime);
        }
        if let Some(on_drain) = self.on_drain {
            layer = layer.on_drain(on_drain);
        }
        layer
    }
}

/// A way in, and how often what answers has run.
struct Way {
    name: &'static str,
    service: AnyService,
    runs: Arc<AtomicUsize>,
    is_decorated: bool,
}

impl Way {
    fn runs(&self) -> usize {
        self.runs.load(SeqCst)
    }

    async fn open(&self, request: Request<String>) -> Reading<AnyBody> {
        Reading::new(ask_for(&self.service, request).await.into_body())
    }
}

fn boxed<S, B>(service: S) -> AnyService
where
    S: Service<Request<String>, Response = Response<B>, Error = Refusal, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    BoxCloneService::new(service.map_response(|response| response.map(|body| Box::pin(body) as AnyBody)))
}

/// A service that counts its runs, and answers after so long.
fn slow<T: Send + 'static>(
    runs: Arc<AtomicUsize>,
    after: Duration,
    make: impl Fn() -> T + Clone + Send + 'static,
) -> impl Service<Request<String>, Response = T, Error = Refusal, Future: Send> + Clone + Send + 'static {
    service_fn(move |_: Request<String>| {
        runs.fetch_add(1, SeqCst);
        let make = make.clone();
        async move {
            sleep(after).await;
            Ok(make())
        }
    })
}

/// All ways in to a stream that this makes, after so long, by a layer that asks for this.
fn ways<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> Vec<Way>
where
    S: tower_sse::Source + Send + 'static,
{
    let mut ways = Vec::new();
    let mut add = |name, is_decorated, service: &dyn Fn(&Arc<AtomicUsize>) -> AnyService| {
        let runs = Arc::default();
        ways.push(Way { name, service: service(&runs), runs, is_decorated });
    };
    let events = |runs: &Arc<_>| slow(Arc::clone(runs), after, make);
    let whole = |runs: &Arc<_>| slow(Arc::clone(runs), after, move || Response::from(make()));
    let bare = || SseLayer::decorate();
    add("an event service", false, &|runs| boxed(asks.by(SseLayer::new(events(runs))).layer(Inside)));
    add("a response of an event service", false, &|runs| boxed(asks.by(SseLayer::new(whole(runs))).layer(Inside)));
    add("an event service that may be late", false, &|runs| {
        boxed(asks.by(SseLayer::new(events(runs)).commit_after(2 * SECOND)).layer(Inside))
    });
    add("a response that may be late", false, &|runs| {
        boxed(asks.by(SseLayer::new(whole(runs)).commit_after(2 * SECOND)).layer(Inside))
    });
    add("a layer that may be late around another one", false, &|runs| {
        let dressed = bare().layer(whole(runs));
        boxed(asks.by(SseLayer::new(dressed).commit_after(2 * SECOND)).layer(Inside))
    });
    add("somebody else's response", true, &|runs| {
        let answers = slow(Arc::clone(runs), after, move || theirs(make()));
        boxed(asks.by(bare()).layer(answers))
    });
    add("a handler under a layer", true, &|runs| boxed(asks.by(bare()).layer(whole(runs))));
    add("a layer around an event service", true, &|runs| {
        boxed(asks.by(bare()).layer(SseLayer::new(events(runs)).methods(ALL).layer(Inside)))
    });
    add("a layer around a layer", true, &|runs| boxed(asks.by(bare()).layer(bare().layer(whole(runs)))));
    add("a response in a coding", true, &|runs| {
        let answers = slow(Arc::clone(runs), after, move || coded(theirs(make())));
        boxed(asks.by(bare()).layer(answers))
    });
    add("a handler whose response is compressed on the way", true, &|runs| {
        let answers = slow(Arc::clone(runs), after, move || coded(Response::from(make()).map(Theirs)));
        boxed(asks.by(bare()).layer(answers))
    });
    add("a layer whose event service wears a layer", false, &|runs| {
        let dressed = SseLayer::new(events(runs)).methods(ALL).layer(Inside);
        boxed(asks.by(SseLayer::new(dressed)).layer(Inside))
    });
    ways
}

type Make = fn() -> Request<String>;

/// The same, each asked as an `EventSource` asks, and by POST.
fn both<S>(asks: &Asks, after: Duration, make: fn() -> Events<S>) -> impl Iterator<Item = (Make, Way)>
where
    S: tower_sse::Source + Send + 'static,
{
    let post: Make = || ask(Method::POST);
    let by = move |request: Make, ways: Vec<Way>| ways.into_iter().map(move |way| (request, way));
    by(get, ways(asks, after, make)).chain(by(post, ways(asks, after, make)))
}

const ALL: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// A response of which no layer knows that it is this crate's.
fn theirs<S: tower_sse::Source>(events: Events<S>) -> Response<impl Body<Data = Bytes, Error = BodyError>> {
    let mut response = Response::from(events).map(Theirs);
    response.extensions_mut().clear();
    response
}

/// The same as if it were in a coding.
fn coded<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert("content-encoding", http::HeaderValue::from_static("gzip"));
    response
}

struct Theirs<B>(B);

impl<B: Body + Unpin> Body for Theirs<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_ended_by_its_key() {
    let (streams, told) = (Streams::new(), Told::default());
    let asks = Asks { key: Some("alice"), ..Asks::of(&streams) };
    let asks_and_tells = asks.clone().told(&told);
    let observed = both(&asks_and_tells, 5 * SECOND, open_end).map(|way| (way, true));
    for ((request, way), is_observed) in both(&asks, 5 * SECOND, open_end).map(|way| (way, false)).chain(observed) {
        let ended = async {
            sleep(SECOND).await;
            (streams.end("bob", "logged out"), streams.end("alice", "logged out"))
        };
        let (mut body, ended) = tokio::join!(way.open(request()), ended);
        assert_eq!(ended, (0, 1), "{}", way.name);
        let rest = body.rest().await.concat();
        assert!(!rest.contains("data"), "{}: {rest}", way.name);
        // That of a POST is aborted, a moment after its last frame.
        assert!((streams.open(), body.millis() <= 50) == (0, true), "{}: {} ms", way.name, body.millis());
        let Some(closed) = told.closed().pop().filter(|_| is_observed) else {
            assert!(!is_observed && told.lines().is_empty());
            continue;
        };
        assert!(closed.starts_with("access withdrawn after 0 ms") && closed.ends_with(", logged out"), "{closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_request_under_way_and_for_its_work() {
    let work = || events([event("a"), Wait(10_000), event("b")]).on_drain(OnDrain::Finish);
    for number in 0..both(&Asks::default(), SECOND, open_end).count() {
        let streams = Streams::new();
        let asks = Asks { on_drain: Some(OnDrain::Finish), ..Asks::of(&streams) };
        let (request, way) = both(&asks, 5 * SECOND, work).nth(number).unwrap();
        let begin = Instant::now();
        let drained = async {
            sleep(SECOND).await;
            (streams.drain(60 * SECOND).await, begin.elapsed())
        };
        let read = async { way.open(request()).await.rest().await.concat() };
        let (text, (drained, took)) = tokio::join!(read, drained);
        assert!(text.contains("data: b"), "{}: {text}", way.name);
        assert_eq!((took, drained.ended, drained.cut), (15 * SECOND, 1, 0), "{}", way.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_newcomers_on_every_way_in() {
    let (streams, told) = (Streams::new(), Told::default());
    streams.start_drain();
    for (request, way) in both(&Asks::of(&streams).told(&told), SECOND, open_end) {
        let response = ask_for(&way.service, request()).await;
        let is_get = request().method() == Method::GET;
        let status = if is_get { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!((response.status(), told.closed().len()), (status, 0), "{}", way.name);
        assert!(told.lines().pop().unwrap().ends_with(", streams are being drained"), "{:?}", told.lines());
        let is_asked = !is_get && way.is_decorated;
        assert_eq!(way.runs(), usize::from(is_asked), "{}: whether its answer is a stream is not known", way.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_beyond_the_limit_is_refused_and_its_place_is_free_afterwards() {
    let (streams, told) = (Streams::builder().total(1).build(), Told::default());
    for (request, way) in both(&Asks::of(&streams).told(&told), Duration::ZERO, open_end) {
        let mut first = way.open(request()).await;
        assert!(first.next().await.is_some());
        assert_eq!(streams.open(), 1, "{}", way.name);
        ask_for(&way.service, request()).await;
        let full = "there are as many streams as there may be";
        assert!(told.lines().pop().unwrap().ends_with(full), "{}: {:?}", way.name, told.lines());
        drop(first);
        assert_eq!(streams.open(), 0, "{}", way.name);
        drop(way.open(request()).await);
    }
}

fn accepts(accept: &'static str) -> Request<String> {
    let mut request = get();
    request.headers_mut().insert("accept", http::HeaderValue::from_static(accept));
    request
}

/// Checks what comes of a second request for the only place, while the first is under way.
async fn counts_under_way(request: Make, is_known: bool) {
    let (streams, told) = (Streams::builder().total(1).build(), Told::default());
    let refused = || told.lines().iter().filter(|line| line.starts_with("refused")).count();
    for way in ways(&Asks::of(&streams).told(&told), 5 * SECOND, open_end) {
        let before = refused();
        let is_known = is_known || !way.is_decorated;
        let second = async {
            sleep(SECOND).await;
            assert_eq!(streams.open(), usize::from(is_known), "{}: {:?}", way.name, request());
            ask_for(&way.service, request()).await
        };
        let (first, _) = tokio::join!(way.open(request()), second);
        assert_eq!(refused(), before + 1, "{}", way.name);
        assert_eq!((way.runs(), streams.open()), (2 - usize::from(is_known), 1), "{}", way.name);
        drop(first);
    }
}

/// A request that an `EventSource` sends is known to be for a stream. Of others the answer tells.
#[tokio::test(start_paused = true)]
async fn a_request_under_way_counts_where_it_is_known_to_be_for_a_stream() {
    counts_under_way(get, true).await;
    counts_under_way(|| accepts("Text/Event-Stream;q=0.9"), true).await;
    counts_under_way(|| accepts("application/json;q=0.9, text/event-stream"), false).await;
    counts_under_way(|| ask(Method::POST), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_layer_expects_to_be_answered_with_a_stream_counts() {
    let streams = Streams::builder().total(1).build();
    let runs = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&runs);
    let inside = service_fn(move |_: Request<String>| {
        counts.fetch_add(1, SeqCst);
        async {
            sleep(5 * SECOND).await;
            Ok::<_, Refusal>(stream([bytes("data: a\n\n"), Hang]))
        }
    });
    let layer = SseLayer::decorate().streams(&streams).expect_stream(|head| head.uri().path() == "/v1/completions");
    let service = layer.layer(inside);
    let post = |path: &str| Request::post(path).body(String::new()).unwrap();
    let (first, ()) = tokio::join!(ask_for(&service, post("/v1/completions")), async {
        sleep(SECOND).await;
        assert_eq!(streams.open(), 1);
        assert_eq!(ask_for(&service, post("/v1/completions")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(runs.load(SeqCst), 1, "refused before it runs");
        let other = timeout(SECOND, ask_for(&service, post("/other")));
        assert!(other.await.is_err());
        assert_eq!((runs.load(SeqCst), streams.open()), (2, 1));
    });
    drop(first);
    assert_eq!(streams.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_is_no_stream_on_any_way_in_and_leaves_no_place_behind() {
    let streams = Streams::builder().total(1).build();
    let page = || service_fn(|_: Request<String>| ready(Ok::<_, Refusal>(Response::new(String::from("a page")))));
    let layer = || SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into()));
    for request in [get(), ask(Method::POST), Request::new(String::new())] {
        let mut answered = std::pin::pin!(layer().layer(layer().layer(page())).call(request));
        assert_eq!(answered.as_mut().await.unwrap().status(), StatusCode::OK);
        assert_eq!((streams.open(), streams.open_of("me"), streams.end("me", "none is left")), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_passes_admission_on_every_way_in() {
    let (streams, told) = (Streams::builder().total(1).build(), Told::default());
    for way in ways(&Asks { key: Some("me"), ..Asks::of(&streams).told(&told) }, SECOND, open_end) {
        let (head, ended) = tokio::join!(ask_for(&way.service, ask(Method::HEAD)), async {
            sleep(SECOND / 2).await;
            streams.end("me", "it is under way")
        });
        assert_eq!((head.status(), ended, streams.open()), (StatusCode::OK, 1, 0), "{}", way.name);
        drop(head);
        let held = way.open(get()).await;
        let refused = told.lines().len();
        ask_for(&way.service, ask(Method::HEAD)).await;
        assert_eq!(told.lines().len(), refused + 1, "{}: {:?}", way.name, told.lines());
        assert!(told.lines()[refused].starts_with("refused HEAD"), "{:?}", told.lines());
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn layers_with_the_same_streams_share_one_place() {
    for request in [get, || ask(Method::POST)] {
        let streams = Streams::builder().total(1).per_key(1).build();
        let layer = |key: &'static str| SseLayer::decorate().streams(&streams).stream_key(move |_| Some(key.into()));
        let handler = service_fn(|_: Request<String>| async {
            sleep(5 * SECOND).await;
            Ok::<_, Refusal>(Response::from(open_end()))
        });
        let service = layer("tenant").layer(layer("user").layer(layer("user").layer(handler)));
        let (response, ()) = tokio::join!(ask_for(&service, request()), async {
            sleep(SECOND).await;
            let is_known = usize::from(request().method() == Method::GET);
            assert_eq!(streams.open(), is_known);
        });
        let counts = || (streams.open(), streams.open_of("tenant"), streams.open_of("user"));
        assert_eq!(counts(), (1, 1, 1), "it did not refuse its own request");
        let mut body = Reading::new(response.into_body());
        assert_eq!(body.frames_within(SECOND).await.len(), 2);
        let (rest, ended) = tokio::join!(body.rest(), async { streams.end("tenant", "over") });
        // That of a POST is aborted, behind a comment.
        assert_eq!(rest.is_empty(), request().method() == Method::GET, "{rest:?}");
        assert!(!rest.concat().contains("data"), "{rest:?}");
        assert_eq!((ended, counts()), (1, (0, 0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_event_service_shares_the_place_of_the_layer_inside_it() {
    let streams = Streams::builder().total(1).build();
    let late = service_fn(|_: Request<String>| async {
        sleep(5 * SECOND).await;
        Ok::<_, Refusal>(open_end())
    });
    let told = Told::default();
    let inner = SseLayer::new(late).commit_after(None).streams(&streams).observer(told.clone()).layer(Inside);
    async fn delayed<S: Service<R>, R>(inner: S, after: Duration, request: R) -> Result<S::Response, S::Error> {
        sleep(after).await;
        inner.oneshot(request).await
    }

    // The layer inside is asked before the head goes out, or after it.
    for asked_after in [Duration::ZERO, 3 * SECOND] {
        let inner = inner.clone();
        let delayed = service_fn(move |request| delayed(inner.clone(), asked_after, request));
        let outer = SseLayer::new(delayed).commit_after(SECOND).streams(&streams).stream_key(|_| Some("me".into()));
        let mut body = Reading::new(ask_for(&outer.layer(Inside), get()).await.into_body());
        let frames = body.frames_within(20 * SECOND).await;
        assert!(
            frames.iter().any(|(_, text)| text.contains("data: a")),
            "{asked_after:?}: {frames:?} {:?}",
            told.lines()
        );
        assert_eq!((streams.open(), streams.open_of("me")), (1, 1));
        let (rest, ended) = tokio::join!(body.rest(), async { streams.end("me", "over") });
        assert_eq!((rest.len(), ended, streams.open()), (0, 1, 0));
        assert!(told.closed().pop().unwrap().ends_with(", over"), "{:?}", told.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_ended_by_what_its_layer_asks_for() {
    let no = || Access::every(SECOND, |_| ready(Verdict::Withdraw("over".into())));
    let counted = ways(&Asks::default(), SECOND, open_end).len();
    for (number, is_observed) in (0..counted).flat_map(|number| [(number, false), (number, true)]) {
        let streams = Streams::new();
        let key = Asks { key: Some("me"), ..Asks::of(&streams) };
        let cases = [
            ("lifetime", Asks { lifetime: Some(SECOND), ..Asks::default() }),
            ("access withdrawn", Asks { access: Some(no()), ..Asks::default() }),
            ("access withdrawn", key.clone()),
            ("drained", Asks { on_drain: Some(OnDrain::Leave), ..key }),
        ];
        for (at, (reason, asks)) in cases.into_iter().enumerate() {
            let told = Told::default();
            let asks = Asks { told: is_observed.then(|| told.clone()), ..asks };
            let way = ways(&asks, Duration::ZERO, open_end).remove(number);
            let mut body = way.open(get()).await;
            let (frames, ()) = tokio::join!(body.frames_within(10 * SECOND), async {
                sleep(SECOND).await;
                match at {
                    2 => assert_eq!(streams.end("me", "over"), 1),
                    3 => streams.start_drain(),
                    _ => {}
                }
            });
            let text: String = frames.iter().map(|(_, text)| text.as_str()).collect();
            assert!(text.starts_with(":\n") && text.contains("data: a\n\n"), "{}: {text}", way.name);
            // What is in a coding ends by an error, a moment later.
            assert!(frames.iter().all(|&(at, _)| at <= 1_050), "{}: {frames:?}", way.name);
            assert!(body.rest().await.is_empty(), "{}", way.name);
            let lines = told.lines();
            let opened = lines.iter().filter(|line| line.starts_with("opened")).count();
            let once = usize::from(is_observed);
            assert_eq!((opened, told.closed().len()), (once, once), "{}: {lines:?}", way.name);
            assert!(told.closed().iter().all(|end| end.starts_with(reason)), "{}, {reason}: {lines:?}", way.name);
            assert_eq!(streams.open(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_service_that_merges_streams_of_its_own_leaves_none_of_them_out() {
    let streams = Streams::new();
    let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(&streams).layer(Inside);
    let held: Arc<std::sync::Mutex<Vec<_>>> = Arc::default();
    let keeps = Arc::clone(&held);
    let merges = service_fn(move |request: Request<String>| {
        let (inner, keeps) = (inner.clone(), Arc::clone(&keeps));
        async move {
            let mut again = get();
            again.extensions_mut().clone_from(request.extensions());
            let both = [inner.clone().oneshot(request).await?, inner.oneshot(again).await?];
            keeps.lock().unwrap().extend(both.map(|response| Reading::new(response.into_body())));
            Ok::<_, Refusal>(Response::from(Events::new(futures_util::stream::pending::<Event>())))
        }
    });
    let layer = SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into()));
    let mut body = Reading::new(ask_for(&layer.layer(merges), get()).await.into_body());
    // The first shares the place of the request with the stream that is answered.
    assert_eq!((streams.open(), streams.end("me", "over"), body.rest().await.len()), (2, 2, 1));
    let held = std::mem::take(&mut *held.lock().unwrap());
    for mut body in held {
        assert!(!body.rest().await.concat().contains("data"));
    }
    assert_eq!(streams.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outer_layer_tightens_what_an_inner_one_allows() {
    let lifetimes = [(100, 10, 10), (10, 100, 10)];
    for ((outer, inner, ends_at), own) in lifetimes.into_iter().flat_map(|case| [(case, None), (case, Some(1_000))]) {
        let make = move || own.map_or_else(open_end, |own| open_end().lifetime(own * SECOND));
        let handler = crate::support::answers_again(move || Response::from(make()));
        let service = SseLayer::decorate().lifetime(inner * SECOND).layer(handler);
        let service = SseLayer::decorate().lifetime(outer * SECOND).layer(service);
        let mut body = Reading::new(ask_for(&service, get()).await.into_body());
        body.rest().await;
        // Its own stands above the innermost layer's, and the outer layer's above both.
        let ends_at = if own.is_some() { outer } else { ends_at };
        let (millis, at_most) = (body.millis(), u64::from(ends_at) * 1_000);
        assert!((at_most * 4 / 5..=at_most).contains(&millis), "{outer}, {inner}, {own:?}: {millis}");
    }
    for (outer, inner, leaves) in [
        (None, OnDrain::Finish, false),
        (Some(OnDrain::Finish), OnDrain::Finish, false),
        (Some(OnDrain::Leave), OnDrain::Finish, true),
        (Some(OnDrain::Finish), OnDrain::Leave, true),
    ] {
        let streams = Streams::new();
        let work = crate::support::answers_again(|| Response::from(events([event("a"), Wait(10_000), event("b")])));
        let asks = Asks { on_drain: outer, ..Asks::of(&streams) };
        let service = asks.by(SseLayer::decorate()).layer(SseLayer::decorate().on_drain(inner).layer(work));
        let mut body = Reading::new(ask_for(&service, get()).await.into_body());
        let (frames, ()) = tokio::join!(body.rest(), async {
            sleep(SECOND).await;
            streams.start_drain();
        });
        assert_eq!(frames.concat().contains("data: b"), !leaves, "{outer:?}, {inner:?}: {frames:?}");
    }
}
