//! hyper's server and two services, without a framework. Each request for events starts a job and streams its progress; the
//! job stops when the client leaves.
//!
//! ```sh
//! cargo run --example hyper
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/
//! ```

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_sse::{BoxError, Event, EventSender, Events, LastEventId, Refusal, Source, SseLayer, event_id};

/// An event. The variant is its name.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    Step { done: u32, of: u32 },
    Finished { letters: usize },
}

/// Answers a request for events.
async fn events(request: Request<Incoming>) -> Result<Events<impl Source>, Refusal> {
    // A client that reconnects after the job has finished must not start another one: 204 stops it.
    if LastEventId::of(&request).is_some_and(|last| last.as_bytes() == b"finished") {
        return Err(Refusal::stop());
    }
    let (progress, events) = Events::channel(1);
    tokio::spawn(async move {
        match job(&progress).await {
            Ok(()) => println!("a job is finished"),
            Err(error) => println!("a job stops: {error}"),
        }
    });
    Ok(events)
}

/// Runs a slow job. `send` fails once the client has left.
async fn job(progress: &EventSender) -> Result<(), BoxError> {
    let of = u32::try_from(TEXT.split(' ').count())?;
    let mut letters = 0;
    for (word, done) in TEXT.split(' ').zip(1..) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        letters += word.len();
        progress.send(Event::tagged(&Progress::Step { done, of })?).await?;
    }
    let finished = Event::tagged(&Progress::Finished { letters })?;
    progress.send(finished.with_id(event_id!("finished"))).await?;
    Ok(())
}

/// Serves the page: the inner service, which is independent of events.
async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/" {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let mut response = Response::new(Full::from(PAGE));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let layer = SseLayer::from_fn(events).when(|head| head.uri().path() == "/");
    let service = TowerToHyperService::new(layer.layer(service_fn(page)));

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        // Without this, an event smaller than a packet may wait until the one before it is acknowledged.
        socket.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
            // One buffer for each write, which is cheaper for small events, and its limit.
            server.http1().timer(TokioTimer::new()).writev(false).max_buf_size(16 << 10);
            // An error is normal: most streams end when the client disconnects.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

const TEXT: &str = "a middleware that does one thing and does it well is worth more than three that almost do it all \
                    and a job that nobody listens to is better stopped than finished";

const PAGE: &str = include_str!("hyper.html");
