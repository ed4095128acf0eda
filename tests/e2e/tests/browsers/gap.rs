//! The page of `docs/topics.md` that reloads its state at a gap: it reloads once.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::Html,
    routing::{MethodRouter, get, post},
};
use futures_util::StreamExt;
use tokio::{sync::Notify, time::timeout};
use tower_sse::{
    Event, Events, LastEventId, SseLayer, event_name,
    hub::{Hub, Retention, Subscribe, Subscription, Topic, Update},
};
use tower_sse_e2e::{
    browser::{Browser, Kind},
    certificate::Certificate,
    document::Document,
    site::{Protocol, Site},
};

/// The page's report once it has read the last event.
#[derive(Clone, Default)]
struct Said {
    report: Arc<Mutex<String>>,
    done: Arc<Notify>,
}

/// A hub whose topic `a` has lost events that are behind some that topic `b` retains, and the id before all of them.
fn hub() -> (Hub, Topic, String) {
    let hub = Hub::new();
    let a = hub.topic_with("a", Retention::new().events(1)).expect("a topic");
    let b = hub.topic("b").expect("a topic");
    let first = a.publish(Event::new("1")).try_result().expect("an id");
    for (topic, data) in [(&b, "2"), (&b, "3"), (&a, "4"), (&a, "5"), (&a, "6"), (&b, "7")] {
        topic.publish(Event::new(data)).try_result().expect("an id");
    }
    (hub, b, first.as_str().to_owned())
}

fn site(cuts: bool, said: &Said) -> Router {
    let (hub, b, first) = hub();
    let said = said.clone();
    Router::new()
        .route("/", get(Html(page(&first))))
        .route("/events", events(hub, cuts))
        .route("/end", post(async move || drop(b.publish(Event::new("end")))))
        .route(
            "/done",
            post(async move |report: String| {
                *said.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
                said.done.notify_one();
            }),
        )
}

/// Returns the streams of the hub, each cut after one event or continued.
fn events(hub: Hub, cuts: bool) -> MethodRouter {
    let inside = get(StatusCode::NOT_ACCEPTABLE);
    if !cuts {
        let layer = SseLayer::new(hub.service(|_| Subscribe::to("a").and("b")));
        return inside.layer(layer.retry(QUICK).last_event_id_query("last-event-id"));
    }
    let one = move |request: Request<Body>| {
        let subscribe = Subscribe::to("a").and("b").resume_after(LastEventId::of(&request));
        let subscription = hub.subscribe(subscribe).expect("the hub has room");
        std::future::ready(Events::new(one_by_one(subscription).take(1)))
    };
    inside.layer(SseLayer::from_fn(one).retry(QUICK).last_event_id_query("last-event-id"))
}

/// Returns the updates of a subscription, as separate events.
fn one_by_one(subscription: Subscription) -> impl futures_util::Stream<Item = Event> {
    subscription.map(|update| match update {
        Update::Event { event, .. } => event,
        Update::Gap(gap) => Event::builder().name(event_name!("gap")).data("").with_id(gap.to),
        _ => Event::builder().name(event_name!("subscribed")).data(""),
    })
}

/// The code of the documents, which keeps its events over reloads.
fn page(first: &str) -> String {
    let saved = Document::read("browser.md").block("js", "sessionStorage");
    let reloads = Document::read("topics.md").block("js", "location.reload");
    format!(
        "<!doctype html><link rel=icon href=data:,><script>
const say = (path, body) => fetch(path, {{ method: 'POST', body }});
onerror = (reason) => say('/done', 'broken: ' + reason);
sessionStorage.lastEventId ??= '{first}';
const loads = sessionStorage.loads = 1 + Number(sessionStorage.loads ?? 0);
sessionStorage.seen ??= '';
const note = (word) => {{ sessionStorage.seen += word + ' '; }};
const finish = () => say('/done', sessionStorage.seen + 'in ' + loads);
if (loads > 9) {{ finish(); throw 'it does not come to rest'; }}
{saved}
source.addEventListener('message', (event) => {{ note(event.data); if (event.data == 'end') finish(); }});
source.addEventListener('gap', () => note('gap'));
{reloads}
// Not before: a message to a page that is being unloaded does not reach the next page.
if (loads == 2) say('/end');
</script>"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
async fn page_reloads_once_after_a_gap() {
    let certificate = Certificate::new().expect("a certificate");
    for (browser, cuts) in [Kind::Chromium, Kind::Firefox].into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let said = Said::default();
        let site = Site::start(Protocol::Http1, &certificate, site(cuts, &said)).await.expect("a server");
        let _browser = Browser::open(browser, &(site.origin() + "/"), &certificate).expect("a browser");
        let done = timeout(LIMIT, said.done.notified()).await;
        assert!(done.is_ok(), "{browser}, cut: {cuts}: the page came to no end");
        let report = said.report.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*report, "2 3 gap 6 7 end in 2", "{browser}, cut: {cuts}");
    }
}

/// Above the wait that Firefox uses for anything shorter.
const QUICK: Duration = Duration::from_millis(600);

/// Far more than needed, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
