//! The test kit: it reads what a client reads, and reports what went wrong.

use std::{convert::Infallible, future::ready, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tower::{Layer, service_fn};
use tower_sse::{
    EarlyEnd, Event, Events, Heartbeat, Source, SseLayer,
    decode::Item,
    event_comment, event_name,
    hub::{Hub, LagPolicy, Retention, Subscribe, Topic},
    observe::Reason,
    streams::Streams,
    testing::{OpenError, Recorder, TestStream},
};

use crate::streams::{Endless, Inside, SECOND, endless, serve};
use crate::support::{Give, Reading, Recording, answers, event, events, open};

#[tokio::test(start_paused = true)]
async fn test_stream_reads_like_a_client() {
    let recorder = Recorder::new();
    let layer = SseLayer::from_fn(|_: Request<String>| async {
        let slow = |number: u64| async move {
            sleep(10 * SECOND).await;
            Some((Event::new(number.to_string()).with_id(number), number + 1))
        };
        Events::new(stream::unfold(1, slow)).retry(2 * SECOND).lifetime(35 * SECOND)
    });
    let service = serve(&layer.observer(recorder.clone()));
    let mut stream = TestStream::get(service, "/prices?of=all", String::new()).await.expect("the answer is a stream");
    assert_eq!((stream.head().status.as_u16(), stream.last_event_id()), (200, ""));
    let first = [stream.next().await.unwrap().unwrap(), stream.next().await.unwrap().unwrap()];
    assert!(matches!(&first, [Item::Comment(_), Item::Retry(retry)] if *retry == 2 * SECOND), "{first:?}");
    let begin = Instant::now();
    assert_eq!((stream.message().await.unwrap().data(), begin.elapsed()), ("1", 10 * SECOND));
    assert_eq!(stream.last_event_id(), "1");
    assert_eq!((recorder.opened(), recorder.closed().len()), (1, 0));
    let rest: Vec<_> = stream.collect().await.iter().map(|message| message.data().to_owned()).collect();
    assert!(rest == ["2"] || rest == ["2", "3"], "{rest:?}");
    let [closed] = &recorder.closed()[..] else { panic!("one stream has ended") };
    assert_eq!((closed.path.as_str(), closed.reason, closed.error.as_deref()), ("/prices", Reason::Lifetime, None));
    assert_eq!(closed.totals.events, rest.len() as u64 + 1);
    assert!((28 * SECOND..=35 * SECOND).contains(&closed.duration));
}

/// A stream of one event, which is then aborted or ends.
fn one_and(aborts: bool) -> Events<impl Source> {
    let end = aborts.then(|| Err("the model is gone"));
    Events::new(stream::iter([Ok(Event::new("1"))].into_iter().chain(end))).early_end(EarlyEnd::Abort)
}

#[tokio::test(start_paused = true)]
async fn abort_is_distinguished_from_a_clean_end() {
    for aborts in [false, true] {
        let service = serve(&SseLayer::from_fn(move |_: Request<String>| ready(one_and(aborts))));
        let open = || TestStream::get(service.clone(), "/", String::new());
        let mut stream = open().await.unwrap();
        assert_eq!(stream.message().await.unwrap().data(), "1");
        assert!(stream.error().is_none(), "the stream is open");
        assert_eq!(stream.message().await, None);
        assert_eq!(stream.error().is_some(), aborts);

        let mut stream = open().await.unwrap();
        assert_eq!((stream.collect().await.len(), stream.error().is_some()), (1, aborts));
        let mut stream = open().await.unwrap();
        assert_eq!(stream.heartbeat().await, None, "an event is no heartbeat");
        assert_eq!((stream.collect().await.len(), stream.error().is_some()), (0, aborts));
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeat_is_not_taken_for_the_prelude() {
    let service = serve(&SseLayer::new(Endless).heartbeat(5 * SECOND));
    let layer = SseLayer::from_fn(|_: Request<String>| async { Events::new(stream::pending::<Event>()) });
    let quiet = serve(&layer.heartbeat(5 * SECOND));
    let mut stream = TestStream::get(quiet, "/", String::new()).await.unwrap();
    for _ in 0..3 {
        let took = stream.heartbeat().await.unwrap();
        assert!((4 * SECOND..=5 * SECOND).contains(&took), "{took:?}");
    }
    let mut stream = TestStream::get(service, "/", String::new()).await.unwrap();
    assert_eq!(stream.heartbeat().await, None, "an event came first");
    assert!(stream.heartbeat().await.is_some());
}

/// The comment was returned as a heartbeat, after no time.
#[tokio::test(start_paused = true)]
async fn the_comment_of_an_event_is_no_heartbeat() {
    let commented = Event::builder().comment(event_comment!("from the cache")).data("2");
    let layer = SseLayer::new(answers(events([event("1"), Give(Ok(commented))])));
    let mut stream = TestStream::get(serve(&layer), "/", String::new()).await.expect("the answer is a stream");
    assert_eq!(stream.message().await.expect("the first event").data(), "1");
    assert_eq!(stream.heartbeat().await, None);
    assert_eq!(stream.message().await.expect("the second event").data(), "2");
}

/// In real time the prelude takes a while.
#[tokio::test]
async fn heartbeat_is_not_taken_for_the_prelude_in_real_time() {
    let layer = SseLayer::from_fn(|_: Request<String>| async { Events::new(stream::pending::<Event>()) });
    let service = serve(&layer.heartbeat(Duration::from_millis(20)));
    let mut stream = TestStream::get(service, "/", String::new()).await.unwrap();
    let took = stream.heartbeat().await.unwrap();
    assert!(took >= Duration::from_millis(15), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_with_a_name_is_a_message() {
    let layer = SseLayer::from_fn(|_: Request<String>| async { Events::new(stream::pending::<Event>()) });
    let service = serve(&layer.heartbeat(Heartbeat::event(5 * SECOND, &event_name!("ping"))));
    let mut stream = TestStream::get(service, "/", String::new()).await.unwrap();
    assert_eq!(stream.message().await.unwrap().name().map(AsRef::as_ref), Some("ping"));
}

#[tokio::test(start_paused = true)]
async fn other_responses_are_returned_unchanged() {
    let page = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::from("a page"))) });
    match TestStream::get(page, "/", String::new()).await {
        Err(OpenError::Response(response)) => assert_eq!(response.into_body(), "a page"),
        other => panic!("{other:?}"),
    }
    let fails = service_fn(|_: Request<String>| async { Err::<Response<String>, _>("broken") });
    let failed = TestStream::get(fails, "/", String::new()).await.unwrap_err();
    assert_eq!(failed.to_string(), "the service failed: \"broken\"");
}

#[tokio::test(start_paused = true)]
async fn invalid_address_is_an_error() {
    let asked =
        service_fn(
            |request: Request<String>| async move { Ok::<_, Infallible>(Response::new(request.uri().to_string())) },
        );
    let failed = TestStream::get(asked, "/with a space", String::new()).await.unwrap_err();
    assert!(failed.to_string().starts_with("invalid address"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn recorder_keeps_refusals_gaps_and_errors() {
    let (streams, recorder) = (Streams::builder().max_streams(0).build(), Recorder::new());
    let service = serve(&endless(&streams, &Recording::default()).observer(recorder.clone()));
    let mut refused = TestStream::get(service, "/", String::new()).await.expect("a browser sees a stream that ends");
    assert_eq!(refused.collect().await, []);
    assert_eq!((recorder.refused(), recorder.opened()), (1, 0));

    let layer = SseLayer::new(answers(events([event("a"), crate::support::error("broken")])));
    let service = layer.observer(recorder.clone()).layer(Inside);
    let mut stream = TestStream::get(service, "/", String::new()).await.unwrap();
    assert_eq!(stream.collect().await.len(), 1);
    assert_eq!(recorder.closed()[0].error.as_deref(), Some("broken"));
    assert_eq!((recorder.closed()[0].reason, recorder.closed()[0].gaps), (Reason::Failed, 0));
}

/// Returns the number of calls for the gaps of a client that reads only after each fifth event, so many times.
async fn lag<B: Body<Data = Bytes, Error: std::error::Error>>(topic: &Topic, body: &mut Reading<B>, times: u64) -> u64 {
    let mut gaps = 0;
    for _ in 0..times {
        for number in 0..5 {
            topic.publish(Event::new(number.to_string())).try_result().unwrap();
        }
        let frames = body.frames_within(Duration::from_millis(1)).await;
        gaps += frames.iter().map(|(_, text)| text.matches("event: gap\n").count() as u64).sum::<u64>();
    }
    gaps
}

#[tokio::test(start_paused = true)]
async fn calls_for_gaps_are_paced_and_all_gaps_count() {
    let (recording, recorder) = (Recording::default(), Recorder::new());
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let topic = hub.topic("a").unwrap();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("a").lag(LagPolicy::Skip))).heartbeat(Heartbeat::off());
    let mut body = open(layer.observer(recording.clone()).observer(recorder.clone())).await;
    body.frames_within(SECOND).await;
    let calls = || recording.lines().iter().filter(|line| *line == "lagged").count();

    let mut gaps = lag(&topic, &mut body, 1_000).await;
    assert!(gaps >= 1_000, "{gaps}");
    assert_eq!(calls(), 1, "at once, and not again for a while");
    sleep(10 * SECOND).await;
    gaps += lag(&topic, &mut body, 1_000).await;
    assert_eq!(calls(), 2);
    drop(body);
    let closed = &recorder.closed()[0];
    assert_eq!((closed.totals.gaps, closed.gaps as u64), (gaps, gaps));
}
