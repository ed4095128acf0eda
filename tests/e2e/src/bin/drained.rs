//! A server that drains on a signal, on axum, hyper or tonic, with the documented lines.
//!
//! | path | |
//! |---|---|
//! | `/events/leave` | a stream that sends `hello`, and leaves in a drain |
//! | `/events/work` | a stream that finishes its work in a drain, and not before |
//! | `/events/endless` | a stream whose work has no end |
//! | `/events/flood` | a stream whose every event is larger than the buffers of a client that does not read |
//! | `/slow` | a page that is answered during the drain |

use std::{
    collections::BTreeMap,
    future::IntoFuture,
    pin::pin,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, routing::get, serve::ListenerExt};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::sleep,
};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower::Layer;
use tower_sse::{
    BoxError, Event, Events, RequestHead, SseLayer,
    observe::{Closed, Observer, StreamObserver},
    source::StreamSource,
    streams::{DrainReport, OnDrain, Streams},
};
use tower_sse_e2e::socket::{Options, tune};

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (drained, server) = runtime.block_on(serve())?;
    // Dropping the runtime closes the remaining connections.
    drop(runtime);
    println!("drained {} {} {}", drained.ended, drained.aborted, if server { "ended" } else { "dropped" });
    println!("reasons {:?}", REASONS.lock().map_err(|_| "no thread panics under the lock")?);
    Ok(())
}

/// Prints the report of the drain, and whether the server has ended.
async fn serve() -> Result<(DrainReport, bool), BoxError> {
    let setting = |name| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let deadline = Duration::from_millis(setting("DEADLINE_MS")?.parse()?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (streams, terminate) = (Streams::new(), signal(SignalKind::terminate())?);
    println!("listening on {address}");
    match setting("SERVER")?.as_str() {
        "axum" => axum_server(listener, &streams, terminate, deadline).await,
        "hyper" => hyper_server(listener, &streams, terminate, deadline).await,
        "tonic" => tonic_server(listener, &streams, terminate, deadline).await,
        other => Err(format!("there is no server {other}").into()),
    }
}

async fn axum_server(
    listener: TcpListener,
    streams: &Streams,
    mut terminate: Signal,
    deadline: Duration,
) -> Result<(DrainReport, bool), BoxError> {
    let app = pages(streams).layer(SseLayer::from_fn(answers(streams)).when(is_stream).streams(streams).observer(Ends));
    let listener = listener.tap_io(|stream: &mut TcpStream| drop(tune(stream, OPTIONS)));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app.into_make_service()).with_graceful_shutdown(stopped.map(drop));
    let mut server = pin!(server.into_future());
    select! {
        served = &mut server => served?,
        _ = terminate.recv() => drop(stop),
    }
    let (drained, served) = streams.drain_with_server(server, deadline).await;
    Ok((drained, served.transpose()?.is_some()))
}

async fn hyper_server(
    listener: TcpListener,
    streams: &Streams,
    mut terminate: Signal,
    deadline: Duration,
) -> Result<(DrainReport, bool), BoxError> {
    let pages = pages(streams);
    let inside = tower::ServiceExt::map_request(pages, |request: Request<Incoming>| request.map(Body::new));
    let layer = SseLayer::from_fn(answers(streams)).when(is_stream).streams(streams).observer(Ends);
    let service = TowerToHyperService::new(layer.layer(inside));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        drop(tune(&stream, OPTIONS));
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    let (drained, served) = streams.drain_with_server(connections.shutdown(), deadline).await;
    Ok((drained, served.is_some()))
}

async fn tonic_server(
    listener: TcpListener,
    streams: &Streams,
    mut terminate: Signal,
    deadline: Duration,
) -> Result<(DrainReport, bool), BoxError> {
    let layer = SseLayer::from_fn(answers(streams)).when(is_stream).streams(streams).observer(Ends);
    let incoming = TcpIncoming::from(listener).inspect_ok(|stream| drop(tune(stream, OPTIONS)));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::builder().accept_http1(true).layer(layer).add_routes(Routes::from(pages(streams)));
    let mut server = pin!(server.serve_with_incoming_shutdown(incoming, stopped.map(drop)));
    select! {
        served = &mut server => served?,
        _ = terminate.recv() => drop(stop),
    }
    let (drained, served) = streams.drain_with_server(server, deadline).await;
    Ok((drained, served.transpose()?.is_some()))
}

fn is_stream(head: &RequestHead<'_>) -> bool {
    head.uri().path().starts_with("/events/")
}

/// Returns the event service, for requests with any body.
fn answers<B>(streams: &Streams) -> impl Fn(Request<B>) -> std::future::Ready<Answer> + Clone + use<B> {
    let streams = streams.clone();
    move |request| std::future::ready(answer(request.uri().path(), streams.clone()))
}

type Answer = Events<StreamSource<BoxStream<'static, Event>>>;

fn answer(path: &str, streams: Streams) -> Answer {
    let hello = stream::iter([Event::new("hello")]);
    let work = stream::iter(1..=5).then(move |number| {
        let streams = streams.clone();
        async move {
            begins(&streams).await;
            sleep(Duration::from_millis(50)).await;
            Event::new(format!("step {number}"))
        }
    });
    match path {
        "/events/work" => Events::new(hello.chain(work).boxed()).on_drain(OnDrain::Finish),
        "/events/endless" => {
            let endless = Events::new(hello.chain(stream::pending()).boxed());
            endless.on_drain(OnDrain::Finish).on_failure(Event::new("sorry"))
        }
        "/events/flood" => Events::new(stream::repeat(FLOOD.clone()).boxed()),
        _ => Events::new(hello.chain(stream::pending()).boxed()),
    }
}

fn pages(streams: &Streams) -> Router {
    let slow = async |State(streams): State<Streams>| {
        println!("asked");
        begins(&streams).await;
        sleep(Duration::from_millis(500)).await;
        "answered"
    };
    Router::new().route("/slow", get(slow)).with_state(streams.clone())
}

/// Waits until the drain has begun.
async fn begins(streams: &Streams) {
    while !streams.is_draining() {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Counts ends by their reasons.
struct Ends;

static REASONS: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());

impl Observer for Ends {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(Self))
    }
}

impl StreamObserver for Ends {
    fn closed(&mut self, closed: &Closed<'_>) {
        if let Ok(mut reasons) = REASONS.lock() {
            *reasons.entry(closed.reason.as_str()).or_default() += 1;
        }
    }
}

/// Clients on HTTP/2 that do not read buffer 2 MB.
static FLOOD: LazyLock<Event> = LazyLock::new(|| Event::new("x".repeat(16 << 20)));

const OPTIONS: Options = Options { user_timeout: None, not_sent: Some(16 << 10) };
