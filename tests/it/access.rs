//! Access is checked again while the stream is open, and a check affects no other stream.

use std::{
    borrow::Cow,
    future::{Future, Ready, pending, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, Response};
use tokio::time::sleep;
use tower::Service;
use tower_sse::{
    Event, Events, Heartbeat, IntoReply, Refusal, SseLayer,
    access::{AccessCheck, AccessDecision},
};

use crate::streams::{Endless, SECOND, open_end};
use crate::support::{
    Hang, Reading, Recording, Wait, answers, answers_after, bytes, decorate, event, events, open, respond, stream,
};

type Frames = Vec<(u64, String)>;

/// A check with this period and this answer, and a count of its runs.
fn checks<Fut>(period: Duration, answer: impl Fn(u64) -> Fut + Send + Sync + 'static) -> (AccessCheck, Arc<AtomicU64>)
where
    Fut: Future<Output = AccessDecision> + Send + 'static,
{
    let made = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&made);
    (AccessCheck::every(period, move |_| answer(count.fetch_add(1, SeqCst) + 1)), made)
}

fn verdict(allows: bool) -> AccessDecision {
    if allows { AccessDecision::Allow } else { AccessDecision::Revoke(Cow::Borrowed("the session is over")) }
}

/// Allows before this check, at once.
fn allows_before(last: u64) -> impl Fn(u64) -> Ready<AccessDecision> + Send + Sync {
    move |number| ready(verdict(number < last))
}

/// Allows before this check, after so long.
fn allows_slowly_before(
    last: u64,
    takes: Duration,
) -> impl Fn(u64) -> Pin<Box<dyn Future<Output = AccessDecision> + Send>> {
    move |number| {
        Box::pin(async move {
            sleep(takes).await;
            verdict(number < last)
        })
    }
}

/// An event each 100 ms.
fn busy() -> Events<impl tower_sse::Source> {
    Events::every(SECOND / 10, || ready(Event::new("a")))
}

/// Returns the frames of a layer's stream within 100 s, and the reports of its end.
async fn read<E>(layer: SseLayer<E>, access: AccessCheck) -> (Frames, Vec<String>)
where
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let recording = Recording::default();
    let frames = open(layer.access(access).observer(recording.clone())).await.frames_within(100 * SECOND).await;
    (frames, recording.closed())
}

fn is_withdrawn(closed: &[String], millis: u64, why: &str) -> bool {
    let [closed] = closed else { return false };
    closed.starts_with(&format!("access revoked after {millis} ms: ")) && closed.ends_with(&format!(", {why}"))
}

#[tokio::test(start_paused = true)]
async fn access_is_revoked_on_its_period_for_idle_and_busy_streams() {
    for heartbeat in [Heartbeat::off(), Heartbeat::every(SECOND), Heartbeat::every(100 * SECOND)] {
        let (idle, idly_made) = checks(5 * SECOND, allows_before(3));
        let (busily, busily_made) = checks(5 * SECOND, allows_before(3));
        let ends = [
            read(SseLayer::new(Endless).heartbeat(heartbeat.clone()), idle).await,
            read(SseLayer::new(answers(busy())).heartbeat(heartbeat), busily).await,
        ];
        assert_eq!((idly_made.load(SeqCst), busily_made.load(SeqCst)), (3, 3));
        for (frames, closed) in ends {
            assert!(is_withdrawn(&closed, 15_000, "the session is over"), "{closed:?}");
            assert!(
                frames.iter().all(|(at, text)| *at <= 15_000 && !text.contains("over")),
                "the client receives no reason"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn access_is_checked_on_an_always_ready_stream() {
    let (access, _) = checks(SECOND, allows_before(1));
    let endless = futures_util::stream::repeat_with(|| Event::new("x".repeat(9_000)));
    let mut body = open(SseLayer::new(answers(Events::new(endless))).access(access)).await;
    for _ in 0..100 {
        body.next().await.unwrap();
    }
    tokio::time::advance(SECOND).await;
    assert!(body.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn running_check_delays_no_event() {
    let (access, _) = checks(5 * SECOND, allows_slowly_before(1, 4 * SECOND));
    let (frames, closed) = read(SseLayer::new(answers(busy())), access).await;
    assert!(is_withdrawn(&closed, 9_000, "the session is over"), "{closed:?}");
    let times: Vec<_> = frames[1..].iter().map(|&(at, _)| at).collect();
    let expected: Vec<_> = (0..90).map(|number| number * 100).collect();
    assert_eq!(times[..90], expected, "each in time");
}

/// The next check ran only when the one before would have timed out, up to ten seconds later.
#[tokio::test(start_paused = true)]
async fn check_completing_with_an_event_runs_again_after_a_period() {
    let (access, made) = checks(SECOND, allows_slowly_before(4, SECOND / 5));
    let script = events([Wait(1_200), event("at that moment"), Hang]);
    let (_, closed) = read(SseLayer::new(answers(script)).heartbeat(Heartbeat::off()), access).await;
    assert_eq!(made.load(SeqCst), 4);
    assert!(is_withdrawn(&closed, 4_800, "the session is over"), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_check_runs_again_after_a_period() {
    for is_busy in [false, true] {
        let (access, made) = checks(SECOND, allows_slowly_before(4, SECOND / 5));
        let (_, closed) = if is_busy {
            read(SseLayer::new(answers(busy())), access).await
        } else {
            read(SseLayer::new(Endless).heartbeat(Heartbeat::off()), access).await
        };
        // A second, a fifth for the answer, four times.
        assert!(is_withdrawn(&closed, 4_800, "the session is over"), "busy: {is_busy}: {closed:?}");
        assert_eq!(made.load(SeqCst), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_check_takes_the_decision_on_timeout() {
    for is_busy in [false, true] {
        let (access, made) = checks(5 * SECOND, |_| pending());
        let access = access.timeout(3 * SECOND);
        let (_, closed) = if is_busy {
            read(SseLayer::new(answers(busy())), access).await
        } else {
            read(SseLayer::new(Endless), access).await
        };
        assert!(is_withdrawn(&closed, 8_000, "access check timed out"), "{closed:?}");
        assert_eq!(made.load(SeqCst), 1);
    }

    let (access, made) = checks(5 * SECOND, |_| pending());
    let access = access.timeout(3 * SECOND).on_timeout(AccessDecision::Allow);
    let (_, closed) = read(SseLayer::new(Endless), access).await;
    assert!(closed.is_empty() || closed[0].starts_with("client gone"), "the stream continues: {closed:?}");
    assert_eq!(made.load(SeqCst), 12, "checked again: at 5 s and each 8 s from there");
}

/// A check that panics when it is polled, when it is dropped, or never.
struct Hostile {
    in_poll: bool,
    in_drop: bool,
}

impl Future for Hostile {
    type Output = AccessDecision;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<AccessDecision> {
        assert!(!self.in_poll, "the check panics");
        std::task::Poll::Pending
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        assert!(!self.in_drop, "the check panics in drop");
    }
}

/// Checks that panic when they are created, polled and dropped.
fn hostile(number: u64) -> Hostile {
    assert_ne!(number % 3, 1, "the check panics");
    Hostile { in_poll: number % 3 == 2, in_drop: true }
}

#[tokio::test(start_paused = true)]
async fn panicking_check_takes_the_decision_on_timeout() {
    let (access, made) = checks(5 * SECOND, hostile);
    let access = access.timeout(SECOND);
    let (frames, closed) = read(SseLayer::new(Endless), access.clone()).await;
    assert_eq!(frames.len(), 2);
    assert!(is_withdrawn(&closed, 5_000, "access check timed out"), "{closed:?}");

    made.store(0, SeqCst);
    let (_, closed) = read(SseLayer::new(Endless), access.on_timeout(AccessDecision::Allow)).await;
    assert!(closed[0].starts_with("client gone after 100000 ms"), "{closed:?}");
    // At 5, 10, 15 s; at 16 s its answer; at 21 s, …
    assert_eq!(made.load(SeqCst), 18);
}

#[tokio::test(start_paused = true)]
async fn check_that_panics_in_drop_does_not_reach_the_connection() {
    let recording = Recording::default();
    let (access, made) = checks(SECOND, |_| Hostile { in_poll: false, in_drop: true });
    let mut body = open(SseLayer::new(Endless).access(access).observer(recording.clone())).await;
    body.frames_within(5 * SECOND).await;
    assert_eq!(made.load(SeqCst), 1, "the check is running");
    drop(body);
    assert!(recording.closed()[0].starts_with("client gone"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn in_flight_check_is_dropped_at_the_end_of_the_stream() {
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let (access, _) = checks(SECOND, move |_| {
        let holds = Arc::clone(&holds);
        async move {
            pending::<()>().await;
            drop(holds);
            AccessDecision::Allow
        }
    });
    let mut body = open(SseLayer::new(answers(events([Wait(5_000)]))).access(access)).await;
    body.rest().await;
    assert_eq!(Arc::strong_count(&held), 1, "the function is dropped, too");
    drop(body);
}

#[tokio::test(start_paused = true)]
async fn extreme_periods_and_timeouts_are_accepted() {
    for (period, limit, ends) in [
        (Duration::MAX, Duration::MAX, None),
        (SECOND, Duration::MAX, None),
        (SECOND, Duration::ZERO, Some(1_000)),
        (Duration::ZERO, Duration::ZERO, Some(1)),
    ] {
        let (access, _) = checks(period, |_| pending());
        let (_, closed) = read(SseLayer::new(Endless), access.timeout(limit)).await;
        let expected = match ends {
            Some(millis) => format!("access revoked after {millis} ms"),
            None => String::from("client gone after 100000 ms"),
        };
        assert!(closed[0].starts_with(&expected), "{period:?}, {limit:?}: {closed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn check_receives_the_request_head() {
    let access = AccessCheck::every(SECOND, |head| {
        let cookie = head.headers().get("cookie").and_then(|cookie| cookie.to_str().ok());
        ready(verdict((head.uri().path(), cookie, head.extensions().get()) == ("/room", Some("me"), Some(&7_u8))))
    });
    for (cookie, goes_on) in [("me", true), ("you", false)] {
        let mut request = Request::get("/room").header("accept", "text/event-stream").header("cookie", cookie);
        request.extensions_mut().unwrap().insert(7_u8);
        let request = request.body(String::new()).unwrap();
        let layer = SseLayer::new(Endless).access(access.clone());
        let mut body = Reading::new(respond(layer, request).await.into_body());
        let frames = body.frames_within(20 * SECOND).await;
        assert_eq!(frames.len() == 3, goes_on, "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_is_checked_at_every_entry_point() {
    let recording = Recording::default();
    let access = || checks(5 * SECOND, allows_before(1)).0;
    let layer = SseLayer::decorate().access(access()).observer(recording.clone());
    decorate(layer, stream([bytes("data: a\n\n"), Hang])).await.rest().await;

    let layer = SseLayer::decorate().access(access()).observer(recording.clone());
    decorate(layer, Response::from(open_end())).await.rest().await;

    let late = answers_after(2_000, Ok::<_, Refusal>(open_end()));
    open(SseLayer::new(late).commit_after(SECOND).access(access()).observer(recording.clone())).await.rest().await;

    let late = answers_after(2_000, Ok::<_, Refusal>(Response::from(open_end())));
    open(SseLayer::new(late).commit_after(SECOND).access(access()).observer(recording.clone())).await.rest().await;

    let never = answers_after(100_000, Ok::<_, Refusal>(events([event("a")])));
    open(SseLayer::new(never).commit_after(SECOND).access(access()).observer(recording.clone())).await.rest().await;

    assert_eq!(recording.closed().len(), 5);
    for closed in recording.closed() {
        assert!(is_withdrawn(std::slice::from_ref(&closed), 5_000, "the session is over"), "{closed}");
    }
}
