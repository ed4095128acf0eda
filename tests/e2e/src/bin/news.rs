//! News that a page watches, for tests of what a browser misses while a server stops and another starts.
//!
//! Prints the page's reports: `same [...]` after its stream was ended and the page reconnected to this process, `next [...]` if
//! the page had been on another.

use std::{future::IntoFuture, pin::pin, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    response::Html,
    routing::{get, post},
};
use futures_util::FutureExt;
use tokio::{
    net::TcpListener,
    select,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};
use tower_sse::{
    BoxError, Event, SseLayer,
    hub::{Hub, Subscribe, Topic},
    streams::Streams,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port = std::env::var("PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let (hub, streams) = (Hub::new(), Streams::builder().reconnect_spread(Duration::from_millis(500)).build());
    tokio::spawn(publish(hub.topic("news")?, std::env::var("NAME")?));
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("news")))
        .when(|head| head.uri().path() == "/news")
        .retry(Duration::from_millis(200))
        .streams(&streams)
        .stream_key(|_| Some("page".into()));
    let app = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/end", post(end))
        .route("/report/{from}", post(report))
        .with_state(streams.clone())
        .layer(layer);

    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app.into_make_service()).with_graceful_shutdown(stopped.map(drop));
    let (mut server, mut terminate) = (pin!(server.into_future()), signal(SignalKind::terminate())?);
    select! {
        served = &mut server => return Ok(served?),
        _ = terminate.recv() => drop(stop),
    }
    streams.drain_with_server(server, Duration::from_secs(5)).await;
    Ok(())
}

/// A number each 20 ms, for ever.
async fn publish(news: Topic, name: String) {
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        ticks.tick().await;
        if news.publish(Event::new(format!("{name} {number}"))).await.is_err() {
            return;
        }
    }
}

/// Ends the page's stream, as a drain does. The page reconnects here.
async fn end(State(streams): State<Streams>) {
    streams.end_key("page", "to see what it misses");
}

async fn report(Path(from): Path<String>, report: String) {
    println!("{from} {report}");
}

/// Records all events, and reports after a reconnect and ten more events.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8"><link rel="icon" href="data:,"><title>news</title>
<script>
"use strict";
const seen = [];
let opened = 0, since = 0, said = 0;
const report = () => fetch(`/report/${opened === 2 ? "same" : "next"}`, { method: "POST", body: JSON.stringify(seen) });
function note(what) {
  seen.push(what);
  if (++since !== 10) return;
  if (opened === 1) fetch("/end", { method: "POST" });
  else if (said < opened) { said = opened; report(); }
}
const source = new EventSource("/news");
source.onopen = () => { opened += 1; since = 0; };
source.onmessage = (event) => note(event.data);
for (const name of ["subscribed", "gap"]) source.addEventListener(name, () => note(name));
</script>
"#;
