//! A span for each stream, within that of its request, with the reason of its end.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tower::Layer;
use tower_sse::{
    Event, SseLayer,
    backplane::LinkObserver,
    hub::{Hub, LagPolicy, Retention, Subscribe},
    observe::Tracing,
    testing::TestStream,
};
use tracing::{Instrument, Level, info_span, subscriber::DefaultGuard};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::{page, show, show_link};

/// The buffer for lines of JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn read(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Returns the log of this thread at this level and above, as long as the guard exists.
fn listen(level: Level) -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(level).with_span_events(FmtSpan::CLOSE);
    let subscriber = subscriber.with_writer(lines.clone()).finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

/// Returns the log at this level and above while a future is run by [`show`](show), within a request's span.
async fn said(level: Level) -> Vec<Value> {
    let (lines, _here) = listen(level);
    show(Tracing::new()).instrument(info_span!("request", id = 7)).await;
    lines.read()
}

/// Returns the lines with this message.
fn with<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["fields"]["message"] == message).collect()
}

#[tokio::test(start_paused = true)]
async fn end_of_a_stream_is_logged_within_its_span() {
    let lines = said(Level::INFO).await;
    let closed = with(&lines, "stream closed");
    let told: Vec<_> = closed
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), line["fields"]["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("ERROR", "failed"), ("INFO", "client gone"), ("INFO", "topic closed")]);
    assert_eq!(closed[0]["fields"]["error"], "the database is gone");
    assert_eq!(closed[0]["fields"]["duration"], "10s");

    let span = &closed[0]["span"];
    assert_eq!(
        (&span["name"], &span["method"], &span["path"]),
        (&"sse.stream".into(), &"GET".into(), &"/fails".into())
    );
    assert_eq!((&span["reason"], &span["events"], &span["heartbeats"]), (&"failed".into(), &2.into(), &2.into()));
    assert!(span["bytes"].as_u64() > Some(10), "{span}");
    assert_eq!(closed[0]["spans"][0]["id"], 7, "the span is within the request's");
    // The span ends with its stream.
    assert_eq!(with(&lines, "close").iter().filter(|line| line["span"]["name"] == "sse.stream").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_gaps_are_logged_without_secrets() {
    let lines = said(Level::DEBUG).await;
    let refused: Vec<_> = with(&lines, "stream refused").iter().map(|line| &line["fields"]).collect();
    let full = "stream limit reached";
    let expected = [("GET", "/full", 200, full), ("POST", "/full", 503, full), ("GET", "/no", 403, "no ticket")];
    assert_eq!(refused.len(), expected.len());
    for (fields, (method, path, status, error)) in refused.iter().zip(expected) {
        assert_eq!((&fields["method"], &fields["path"]), (&method.into(), &path.into()));
        assert_eq!((&fields["status"], &fields["error"]), (&status.into(), &error.into()));
    }
    let gaps = with(&lines, "client missed events");
    assert_eq!((gaps.len(), gaps[0]["level"].as_str()), (1, Some("WARN")));
    assert!(gaps[0]["fields"]["from"].is_string() && gaps[0]["fields"]["to"].is_string(), "{gaps:?}");
    assert_eq!((with(&lines, "stream opened").len(), with(&lines, "first event").len()), (3, 3));
    assert!(!format!("{lines:?}").contains("secret"), "a query may hold a ticket");
}

#[tokio::test(start_paused = true)]
async fn only_failures_are_logged_at_level_error() {
    let lines = said(Level::ERROR).await;
    assert_eq!((lines.len(), with(&lines, "stream closed").len()), (1, 1), "{lines:?}");
}

#[test]
fn link_and_skipped_entries_are_logged() {
    let (lines, _here) = listen(Level::INFO);
    show_link(&Tracing::new());
    let lines = lines.read();
    let told = lines.iter().map(|line| (line["level"].as_str().unwrap(), line["fields"]["message"].as_str().unwrap()));
    let away = [("INFO", "link up"), ("WARN", "link down"), ("WARN", "reading failed")];
    let then = [("INFO", "link up"), ("WARN", "entry skipped"), ("WARN", "new epoch, a gap for all subscribers")];
    assert_eq!(told.collect::<Vec<_>>(), [away, away, then].concat());
    assert_eq!(lines[2]["fields"]["error"], "nobody listens");
    assert_eq!((&lines[7]["fields"]["id"], &lines[7]["fields"]["reason"]), (&"17-0".into(), &"it has no topic".into()));
}

/// A client that reads only after each fifth event, of which two are retained: a thousand gaps, and one more later.
async fn lag_for_long(observer: Tracing) {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let topic = hub.topic("a").unwrap();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("a").lag(LagPolicy::Skip))).observer(observer);
    let mut stream = TestStream::get(layer.layer(page!()), "/skips", String::new()).await.unwrap();
    let mut gaps = 0;
    while gaps <= 1_000 {
        for number in 0..5 {
            topic.publish(Event::new(number.to_string())).try_result().unwrap();
        }
        if gaps == 1_000 {
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        while stream.message().await.unwrap().name().is_none_or(|name| *name != "gap") {}
        gaps += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_client_does_not_flood_the_log() {
    let (lines, _here) = listen(Level::INFO);
    lag_for_long(Tracing::new()).await;
    let lines = lines.read();
    let gaps: Vec<_> = with(&lines, "client missed events").iter().map(|line| &line["fields"]["more"]).collect();
    assert_eq!(gaps, [&Value::Null, &999.into()]);
    assert_eq!(with(&lines, "stream closed")[0]["span"]["gaps"], 1_001);
}

#[tokio::test(start_paused = true)]
async fn foreign_entries_do_not_flood_the_log() {
    let (lines, _here) = listen(Level::INFO);
    let observer = Tracing::new();
    for entry in 0..1_000 {
        observer.skipped(&format!("{entry}-0"), "it has no data");
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    observer.clone().skipped("1000-0", "it has no data");
    let lines = lines.read();
    let skipped: Vec<_> = lines.iter().map(|line| (&line["fields"]["id"], &line["fields"]["more"])).collect();
    assert_eq!(skipped, [(&"0-0".into(), &Value::Null), (&"1000-0".into(), &999.into())]);
}
