//! Several observers of one stream, observers that panic, and observers that act on streams within a callback.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use tower_sse::{
    Event, Refusal, RequestHead, SseLayer,
    hub::{Gap, Hub, LagPolicy, Retention, Subscribe},
    observe::{Closed, Observer, Sent, StreamObserver},
    streams::Streams,
};

use crate::streams::{Endless, SECOND, ask_for, endless, read, serve};
use crate::support::{Reading, Recording, answers, event, events, get, open};

/// Panics in this method.
#[derive(Clone, Copy, PartialEq)]
enum Panics {
    Opened,
    FirstEvent,
    Sent,
    Lagged,
    Closed,
    Refused,
    Drop,
}

impl Panics {
    fn here(self, method: Self) {
        assert!(self != method || std::thread::panicking(), "the observer panics");
    }
}

/// An observer that its layer may drop.
struct Hostile(Panics);

struct HostileStream(Panics);

impl Observer for Hostile {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.0.here(Panics::Opened);
        Some(Box::new(HostileStream(self.0)))
    }

    fn refused(&self, _: &RequestHead<'_>, _: &Refusal) {
        self.0.here(Panics::Refused);
    }
}

impl StreamObserver for HostileStream {
    fn first_event(&mut self, _: Duration) {
        self.0.here(Panics::FirstEvent);
    }

    fn sent(&mut self, _: &Sent) {
        self.0.here(Panics::Sent);
    }

    fn lagged(&mut self, _: &Gap) {
        self.0.here(Panics::Lagged);
    }

    fn closed(&mut self, _: &Closed<'_>) {
        self.0.here(Panics::Closed);
    }
}

impl Drop for HostileStream {
    fn drop(&mut self) {
        self.0.here(Panics::Drop);
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_observer_harms_neither_stream_nor_other_observers() {
    use Panics::{Closed, Drop, FirstEvent, Lagged, Opened, Refused, Sent};
    for panics in [Opened, FirstEvent, Sent, Lagged, Closed, Refused, Drop] {
        let (streams, before, after) = (Streams::new(), Recording::default(), Recording::default());
        let hub = Hub::builder().retention(Retention::new().events(2)).build();
        let topic = hub.topic("a").unwrap();
        let layer = SseLayer::new(hub.service(|_| Subscribe::to("a").lag(LagPolicy::Skip)));
        let layer = layer.observer(before.clone()).observer(Hostile(panics)).observer(after.clone());
        let service = serve(&layer.streams(&streams));
        let mut body = read(&service).await;
        body.frames_within(SECOND).await;
        for number in 0..5 {
            topic.publish(Event::new(number.to_string())).try_result().unwrap();
        }
        let frames = body.frames_within(SECOND).await;
        assert!(frames[0].1.contains("data: 3\n\n") && frames[0].1.contains("data: 4\n\n"), "{frames:?}");
        streams.start_drain();
        body.rest().await;
        ask_for(&service, get()).await;

        assert_eq!(before.lines(), after.lines());
        let kinds: Vec<_> = before.lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let expected = ["opened", "sent", "sent", "lagged", "first", "sent", "sent", "closed", "refused"];
        assert_eq!(kinds, expected);
        assert_eq!(streams.len(), 0);
    }
}

/// An observer that calls a function with the name of each callback.
#[derive(Clone)]
struct Does<F>(F);

impl<F: Fn(&'static str) + Clone + Send + Sync + 'static> Observer for Does<F> {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.0("opened");
        Some(Box::new(self.clone()))
    }

    fn refused(&self, _: &RequestHead<'_>, _: &Refusal) {
        self.0("refused");
    }
}

impl<F: Fn(&'static str) + Clone + Send + Sync + 'static> StreamObserver for Does<F> {
    fn first_event(&mut self, _: Duration) {
        self.0("first event");
    }

    fn sent(&mut self, _: &Sent) {
        self.0("sent");
    }

    fn closed(&mut self, _: &Closed<'_>) {
        self.0("closed");
    }
}

fn of(user: &str) -> Request<String> {
    let mut request = get();
    *request.uri_mut() = format!("/?{user}").parse().unwrap();
    request
}

fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    head.uri().query().map(Arc::from)
}

/// Reads a stream for a second at most, whose observer ends it in this callback. Returns its frames, and its end.
async fn ended_by_its_observer(when: &'static str) -> (usize, Vec<String>) {
    let (streams, recording) = (Streams::new(), Recording::default());
    let handle = streams.clone();
    let ends = Does(move |what| {
        let ended = (what == when).then(|| handle.end_key("me", "since it likes to"));
        assert!(handle.len() <= 1 && ended.unwrap_or_default() <= 1);
    });
    let layer = endless(&streams, &recording).stream_key(user).observer(ends);
    let mut body = Reading::new(ask_for(&serve(&layer), of("me")).await.into_body());
    let frames = body.frames_within(SECOND).await.len();
    drop(body);
    assert_eq!(streams.len(), 0);
    (frames, recording.closed())
}

#[tokio::test(start_paused = true)]
async fn observer_may_end_its_own_stream_in_any_call() {
    for (when, frames, reason) in [
        ("opened", 1, "access revoked after 0 ms"),
        ("sent", 1, "access revoked after 0 ms"),
        ("first event", 2, "access revoked after 0 ms"),
        ("closed", 2, "client gone after 1000 ms"),
    ] {
        let (read, closed) = ended_by_its_observer(when).await;
        assert_eq!((read, closed.len()), (frames, 1), "{when}");
        assert!(closed[0].starts_with(reason), "{when}: {closed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn observer_may_end_and_drop_other_streams_and_drain() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = serve(&endless(&streams, &recording).stream_key(user));
    let mut held = Vec::new();
    for number in 0..10 {
        held.push(ask_for(&service, of(if number < 5 { "them" } else { "others" })).await);
    }
    let held = Mutex::new(held);
    let handle = streams.clone();
    let does = Does({
        let held = Arc::new(held);
        move |what| match what {
            "opened" => assert_eq!(handle.end_key("them", "not wanted"), 5),
            "sent" => held.lock().unwrap().clear(),
            "closed" => handle.start_drain(),
            _ => {}
        }
    });
    let layer = SseLayer::new(answers(events([event("a")]))).streams(&streams).observer(does);
    open(layer).await.rest().await;
    assert!(streams.is_draining());
    assert_eq!((streams.len(), recording.closed().len()), (0, 10));
    let withdrawn = recording.closed().iter().filter(|closed| closed.ends_with(", not wanted")).count();
    assert_eq!(withdrawn, 5, "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn observer_that_skips_a_stream_does_not_affect_the_others() {
    struct Looks(bool);

    impl Observer for Looks {
        fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
            assert!(!self.0, "a panicking observer checks nothing");
            None
        }
    }

    let recording = Recording::default();
    let layer = SseLayer::new(Endless).observer(Looks(false)).observer(recording.clone()).observer(Looks(true));
    drop(open(layer).await);
    assert_eq!(recording.closed().len(), 1);
}
