//! Each end of a stream is reported to each observer, once, and leaves nothing behind.

use std::{future::ready, time::Duration};

use http::{Request, Response};
use tokio::time::{Instant, sleep};
use tower::Service;
use tower_sse::{
    BodyError, BoxError, Event, Events, IntoReply, Refusal, SseLayer,
    access::{AccessCheck, AccessDecision},
    hub::{Hub, LagPolicy, Retention, Subscribe},
    streams::{OnDrain, Streams},
};

use crate::streams::{Endless, SECOND, open_end};
use crate::support::{
    Panic, Reading, Recording, Step, answers, answers_after, bytes, decorate, error, event, events, open, stream,
};

/// Two observers, and the registry of the streams.
struct Watched {
    streams: Streams,
    recording: [Recording; 2],
}

impl Watched {
    fn new() -> Self {
        Self { streams: Streams::builder().stall_timeout(8 * SECOND).build(), recording: <[Recording; 2]>::default() }
    }

    fn by<E>(&self, layer: SseLayer<E>) -> SseLayer<E> {
        let [one, other] = &self.recording;
        layer.streams(&self.streams).stream_key(|_| Some("key".into())).observer(one.clone()).observer(other.clone())
    }

    /// Opens a stream and reads its ready frames.
    async fn open<E>(&self, layer: SseLayer<E>) -> Reading<impl http_body::Body<Data = bytes::Bytes, Error = BodyError>>
    where
        E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
    {
        let mut body = open(self.by(layer)).await;
        body.frames_within(Duration::from_millis(1)).await;
        body
    }

    /// Asserts that the stream has ended for this reason, also when the body is dropped, and nothing is left of it.
    fn ended(self, reason: &str) {
        for recording in &self.recording {
            let lines = recording.lines();
            let opened = lines.iter().filter(|line| line.starts_with("opened")).count();
            assert_eq!((opened, recording.closed().len()), (1, 1), "{reason}: {lines:?}");
            assert!(recording.closed()[0].starts_with(&format!("{reason} after ")), "{reason}: {lines:?}");
            assert!(lines.last().unwrap().starts_with("closed"), "{reason}: {lines:?}");
        }
        assert_eq!((self.streams.len(), self.streams.len_for_key("key")), (0, 0), "{reason}");
    }
}

/// Opens a layer's stream, and reads it to its end.
async fn read_to_its_end<E>(layer: SseLayer<E>, reason: &str)
where
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let watched = Watched::new();
    let mut body = watched.open(layer).await;
    body.rest().await;
    drop(body);
    watched.ended(reason);
}

/// Returns a layer with a stream of these events.
fn says(
    steps: Vec<Step<Result<Event, BoxError>>>,
) -> SseLayer<impl Service<Request<String>, Response: IntoReply, Error = Refusal> + Clone> {
    SseLayer::new(answers(events(steps)))
}

#[tokio::test(start_paused = true)]
async fn end_of_the_source_has_its_reason() {
    read_to_its_end(says(vec![event("a")]), "finished").await;
    read_to_its_end(says(vec![event("a"), error("broken")]), "failed").await;
    read_to_its_end(says(vec![event("a"), Panic]), "panicked").await;
    let late = answers_after(2_000, Err::<Response<String>, _>(Refusal::stop()));
    read_to_its_end(SseLayer::new(late).commit_after(SECOND), "refused").await;
}

#[tokio::test(start_paused = true)]
async fn end_by_a_setting_has_its_reason() {
    read_to_its_end(SseLayer::new(Endless).lifetime(SECOND), "lifetime").await;
    let deadline = || open_end().deadline(Instant::now() + SECOND);
    read_to_its_end(SseLayer::new(answers(deadline())), "deadline").await;
    let access = AccessCheck::every(SECOND, |_| ready(AccessDecision::Revoke("over".into())));
    read_to_its_end(SseLayer::new(Endless).access(access), "access revoked").await;
}

#[tokio::test(start_paused = true)]
async fn end_from_outside_has_its_reason() {
    for on_drain in [OnDrain::Leave, OnDrain::Finish] {
        let watched = Watched::new();
        let mut body = watched.open(SseLayer::new(Endless).on_drain(on_drain)).await;
        tokio::join!(body.rest(), watched.streams.drain(4 * SECOND));
        drop(body);
        watched.ended("drained");
    }

    let watched = Watched::new();
    let mut body = watched.open(SseLayer::new(Endless)).await;
    assert_eq!(watched.streams.end_key("key", "over"), 1);
    body.rest().await;
    drop(body);
    watched.ended("access revoked");
}

#[tokio::test(start_paused = true)]
async fn end_by_the_client_has_its_reason() {
    let watched = Watched::new();
    drop(watched.open(SseLayer::new(Endless)).await);
    watched.ended("client gone");

    for reads_on in [false, true] {
        let watched = Watched::new();
        let mut body = open(watched.by(SseLayer::new(Endless))).await;
        body.next().await;
        sleep(20 * SECOND).await;
        if reads_on {
            body.rest().await;
        }
        drop(body);
        watched.ended("stalled");
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_a_topic_has_its_reason() {
    let (hub, watched) = (Hub::new(), Watched::new());
    let topic = hub.topic("a").unwrap();
    let mut body = watched.open(SseLayer::new(hub.service(|_| Subscribe::to("a")))).await;
    topic.close(Event::new("the last")).try_result().unwrap();
    let rest = body.rest().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    drop(body);
    watched.ended("topic closed");
}

#[tokio::test(start_paused = true)]
async fn lagged_end_and_gap_are_reported() {
    for lag in [LagPolicy::Disconnect, LagPolicy::Skip] {
        let (hub, watched) = (Hub::builder().retention(Retention::new().events(2)).build(), Watched::new());
        let topic = hub.topic("a").unwrap();
        let mut body = watched.open(SseLayer::new(hub.service(move |_| Subscribe::to("a").lag(lag)))).await;
        for number in 0..10 {
            topic.publish(Event::new(number.to_string())).try_result().unwrap();
        }
        let frames = body.frames_within(Duration::from_millis(1)).await;
        drop(body);
        let gaps = watched.recording[0].lines().iter().filter(|line| *line == "lagged").count();
        let disconnects = lag == LagPolicy::Disconnect;
        assert_eq!((frames.len(), gaps), (1, usize::from(!disconnects)), "{frames:?}");
        watched.ended(if disconnects { "lagged" } else { "client gone" });
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_a_decorated_stream_has_its_reason() {
    let cases = [
        (vec![bytes("data: a\n\n")], "finished"),
        (vec![bytes("data: a\n\n"), error("broken")], "failed"),
        (vec![bytes("data: a\n\n"), Panic], "panicked"),
    ];
    for (steps, reason) in cases {
        let watched = Watched::new();
        let mut body = decorate(watched.by(SseLayer::decorate()), stream(steps)).await;
        body.rest().await;
        drop(body);
        watched.ended(reason);
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_events_of_a_handler_has_its_reason() {
    let watched = Watched::new();
    let own = Response::from(Events::every(SECOND, || ready(Event::new("a"))));
    let mut body = decorate(watched.by(SseLayer::decorate().lifetime(10 * SECOND)), own).await;
    body.rest().await;
    drop(body);
    watched.ended("lifetime");
}
