//! A page and a stream at one address: the browser requests HTML and receives the page, the page's `EventSource` requests
//! `text/event-stream` and receives the stream.
//!
//! ```sh
//! cargo run --example quickstart
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/
//! ```

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, response::Html, routing::get};
use serde::Serialize;
use tokio::net::TcpListener;
use tower_sse::{Event, Events, SseLayer};

#[derive(Serialize)]
struct Hello {
    message: &'static str,
    time: u64,
}

/// Reads the data source. A real one is a database, a sensor, or another service.
async fn hello() -> Result<Hello, Box<dyn Error + Send + Sync>> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Hello { message: "Hello, SSE!", time })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sse = SseLayer::from_fn(|_request| async {
        // Each second: read the source, send the value as JSON, flush.
        Events::every(Duration::from_secs(1), || async {
            Ok::<_, Box<dyn Error + Send + Sync>>(Event::json(&hello().await?)?)
        })
    })
    .heartbeat(Duration::from_secs(15))
    .retry(Duration::from_secs(1));

    let app = Router::new().route("/", get(Html(PAGE)).layer(sse));

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

const PAGE: &str = include_str!("quickstart.html");
