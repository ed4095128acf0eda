//! The streams that the server sends on each path, at each visit.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, future, stream};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use tokio::sync::Notify;
use tower_sse::{BoxError, Event, EventId, Events, Heartbeat, Refusal, event_id, event_name, source::StreamSource};

use crate::visits::Visits;

type Item = Result<Event, BoxError>;
type Sent = Pin<Box<dyn Stream<Item = Item> + Send>>;

/// The page's messages to the server: each is sent once, and kept until it is awaited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    opened: Arc<Notify>,
    end: Arc<Notify>,
    share: Arc<Notify>,
}

impl Words {
    pub(crate) fn say(&self, word: &str) {
        match word {
            "opened" => self.opened.notify_one(),
            "end" => self.end.notify_one(),
            "share" => self.share.notify_one(),
            _ => panic!("the page says {word}"),
        }
    }
}

/// Returns the answer to the visit with this number (from 0) to this path.
pub(crate) fn answer(
    path: &str,
    number: usize,
    words: &Words,
    visits: &Visits,
) -> Result<Events<StreamSource<Sent>>, Refusal> {
    let words = words.clone();
    Ok(match (path, number) {
        // Only the prelude is sent before the page has reported that the stream is open.
        ("/events/open", _) => {
            open(once(async move { words.opened.notified().await }, "first")).heartbeat(Heartbeat::off())
        }
        ("/events/fields", _) => open(stream::iter(fields()).map(Ok)),
        ("/events/comments", _) => {
            let visits = visits.clone();
            open(once(async move { visits.heartbeats(5).await }, "after five")).heartbeat(SOON)
        }
        ("/events/ping", _) => {
            open(list([Event::new("now").with_id(1)])).heartbeat(Heartbeat::event(SOON, &event_name!("ping")))
        }
        ("/events/stop", 0) => ending(list([Event::new("only")])),
        ("/events/busy", _) => return Err(Refusal::status(StatusCode::SERVICE_UNAVAILABLE)),
        ("/events/json", _) => open(stream::empty()).header(CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ("/events/later", 0) => return Err(Refusal::later(QUICK)),
        ("/events/later", _) => open(list([Event::new("welcome")])),
        ("/events/resume", number) => resume(number),
        ("/events/failure", 0) => ending(last_words(Some("failed"))),
        ("/events/failure", 1) => ending(last_words(None)),
        ("/events/retry", 0) => ending(list([Event::new("first")])).retry(LONG),
        ("/events/default", 0) => Events::new(boxed(list([Event::new("first")]))),
        ("/events/retry" | "/events/default", _) => open(list([Event::new("second")])),
        ("/events/many", _) => open(stream::empty()),
        ("/quickstart", 0) => ending(hello().chain(silence(async move { words.end.notified().await }))),
        ("/quickstart", _) => open(hello()),
        ("/events/share", 0) => open(once(async move { words.share.notified().await }, "one")),
        ("/events/share", _) => open(list([Event::new("two")])),
        ("/events/watchdog", 0) => open(pings(PINGS)).heartbeat(Heartbeat::off()),
        ("/events/watchdog", _) => open(pings(1)).heartbeat(Heartbeat::off()),
        ("/events/saved", 0) => open(list([Event::new("a").with_id(ODD_ID)])),
        ("/events/saved", 1) => ending(list([Event::new("b").with_id(event_id!("newer"))])),
        ("/events/saved", _) => open(list([Event::new("c")])),
        _ => return Err(Refusal::stop()),
    })
}

/// Each kind of field that an event can have; the last event is named `end`.
pub(crate) fn fields() -> Vec<Event> {
    let named = |name: &str, data: &str| Event::builder().name(name.try_into().expect("a name")).data(data);
    vec![
        Event::new("plain"),
        Event::new(" led by a space"),
        Event::new("two\nlines"),
        Event::new("\ncr\rcrlf\r\nend\n"),
        Event::new(""),
        Event::new("\n"),
        Event::new("id: 7\n\nevent: x\n: no"),
        Event::new("\u{feff}Größe 世界 🦀 \u{2028}\0."),
        Event::new("x".repeat(300_000)),
        named("price", "42"),
        named("größe: 🦀", "named").with_id(1),
        Event::new("keeps the id"),
        named("gone", "").with_id(EMPTY),
        named("end", ""),
    ]
}

/// The visits of a client that resumes: ids in, ids out.
fn resume(number: usize) -> Events<StreamSource<Sent>> {
    match number {
        0 => ending(list([Event::new("a").with_id(1), Event::new("b").with_id(ODD_ID)])),
        1 => ending(list([Event::new("c")])),
        2 => ending(list([Event::new("d").with_id(EMPTY)])),
        _ => open(list([Event::new("e")])),
    }
}

/// Returns a stream that stays open after these events.
fn open(events: impl Stream<Item = Item> + Send + 'static) -> Events<StreamSource<Sent>> {
    Events::new(boxed(events.chain(silence(future::pending()))))
}

/// Returns a stream that ends after these events, for a client that reconnects quickly.
fn ending(events: impl Stream<Item = Item> + Send + 'static) -> Events<StreamSource<Sent>> {
    Events::new(boxed(events)).retry(QUICK).on_failure(Event::builder().name(event_name!("failed")).data("sorry"))
}

fn boxed(events: impl Stream<Item = Item> + Send + 'static) -> Sent {
    Box::pin(events)
}

fn list<const N: usize>(events: [Event; N]) -> impl Stream<Item = Item> + Send {
    stream::iter(events.map(Ok))
}

/// Returns one event, when this future completes.
fn once(when: impl Future<Output = ()> + Send + 'static, data: &'static str) -> impl Stream<Item = Item> + Send {
    silence(when).chain(list([Event::new(data)]))
}

/// Returns no event, until this future completes.
fn silence(until: impl Future<Output = ()> + Send + 'static) -> impl Stream<Item = Item> + Send {
    stream::once(until).filter_map(|()| future::ready(None))
}

/// Returns an event, then an error, or a panic.
fn last_words(error: Option<&'static str>) -> impl Stream<Item = Item> + Send {
    let end = stream::once(async move { Err(error.expect("a stream that panics on purpose").into()) });
    list([Event::new("before")]).chain(end)
}

/// Returns the stream of the quick start.
fn hello() -> impl Stream<Item = Item> + Send {
    list([Event::new(r#"{"message":"Hello, SSE!","time":1700000000}"#)])
}

/// Returns so many named heartbeats, then nothing: like a connection that died, to a page.
fn pings(number: usize) -> impl Stream<Item = Item> + Send {
    let ping = || Ok(Event::builder().name(event_name!("ping")).data(""));
    stream::unfold(tokio::time::interval(SOON), |mut interval| async {
        interval.tick().await;
        Some(((), interval))
    })
    .map(move |()| ping())
    .take(number)
}

/// An id that is neither ASCII nor valid in an address.
pub(crate) const ODD_ID: EventId = event_id!("ünï +&=%✓");
const EMPTY: EventId = event_id!("");

/// Pings for longer than the watchdog waits.
pub(crate) const PINGS: usize = 90;
/// The time between two pings.
pub(crate) const PING: Duration = SOON;

const SOON: Duration = Duration::from_millis(100);
/// Above the wait that Firefox uses for anything shorter.
const QUICK: Duration = Duration::from_millis(600);
/// Longer than any browser waits by default.
pub(crate) const LONG: Duration = Duration::from_secs(6);
