//! The servers of the comparison, with the same app: twenty routes, and subscribers of a topic.

use std::{future::ready, process, time::Duration};

use axum::{Router, routing::get, serve::ListenerExt};
use futures_util::TryStreamExt;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower_sse::{
    BoxError, RequestHead, SseLayer,
    access::{AccessCheck, AccessDecision},
    hub::{Hub, HubService, Subscribe},
    observe::{Observer, StreamObserver},
    streams::Streams,
};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `axum::serve(listener, router)`.
    Axum,
    /// With `into_make_service` and `tap_io`.
    AxumLines,
    /// The same, with a limit per key, access checks, and an observer.
    AxumWatched,
    /// With the lines, over HTTP/2.
    AxumHttp2,
    /// hyper-util's connection that serves HTTP/1 and HTTP/2.
    HyperAuto,
    /// hyper's connection that serves HTTP/1.
    HyperHttp1,
    /// tonic, over HTTP/1.1.
    Tonic,
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[
        Self::Axum,
        Self::AxumLines,
        Self::AxumWatched,
        Self::HyperAuto,
        Self::HyperHttp1,
        Self::Tonic,
        Self::AxumHttp2,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::AxumLines => "axum-lines",
            Self::AxumWatched => "axum-watched",
            Self::AxumHttp2 => "axum-http2",
            Self::HyperAuto => "hyper-auto",
            Self::HyperHttp1 => "hyper-http1",
            Self::Tonic => "tonic",
        }
    }

    pub(crate) fn find(name: &str) -> Result<Self, BoxError> {
        let names = || Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let kind = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        kind.ok_or_else(|| format!("there is no server {name:?}, but {}", names()).into())
    }

    pub(crate) fn is_http2(self) -> bool {
        self == Self::AxumHttp2
    }
}

pub(crate) async fn run(kind: Kind) -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("process {}", process::id());
    println!("listening on {}", listener.local_addr()?);
    match kind {
        Kind::Axum => axum::serve(listener, app()).await?,
        Kind::AxumLines | Kind::AxumHttp2 => {
            let listener = listener.tap_io(|stream| tune(stream));
            axum::serve(listener, app().into_make_service()).await?;
        }
        Kind::AxumWatched => {
            let listener = listener.tap_io(|stream| tune(stream));
            axum::serve(listener, watched().into_make_service()).await?;
        }
        Kind::HyperAuto => {
            let app = app();
            accept(listener, |stream| drop(tokio::spawn(connection_auto(stream, app.clone())))).await;
        }
        Kind::HyperHttp1 => {
            let app = app();
            accept(listener, |stream| drop(tokio::spawn(connection_http1(stream, app.clone())))).await;
        }
        Kind::Tonic => {
            let incoming = TcpIncoming::from(listener).inspect_ok(tune);
            let mut server = Server::builder().accept_http1(true).layer(SseLayer::new(news()));
            server.add_routes(Routes::from(pages())).serve_with_incoming(incoming).await?;
        }
    }
    Ok(())
}

async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tune(&stream);
                serve(stream);
            }
            // There is no descriptor left until a client leaves.
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

/// A client that leaves ends its stream this way.
async fn connection_auto(stream: TcpStream, app: Router) {
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(app));
    drop(connection.await);
}

async fn connection_http1(stream: TcpStream, app: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    drop(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await);
}

fn tune(stream: &TcpStream) {
    drop(stream.set_nodelay(true));
}

fn app() -> Router {
    pages().layer(SseLayer::new(news()))
}

fn pages() -> Router {
    (0..20).fold(Router::new().route("/", get("the page")), |app, number| {
        app.route(&format!("/pages/{number}"), get("a page"))
    })
}

fn watched() -> Router {
    let layer = SseLayer::new(news())
        .streams(&Streams::builder().max_streams(100_000).max_per_key(100_000).build())
        .stream_key(|head| Some(head.headers().get("host")?.to_str().ok()?.into()))
        .access(AccessCheck::every(Duration::from_secs(60), |_: &RequestHead<'_>| ready(AccessDecision::Allow)))
        .observer(Watch);
    pages().layer(layer)
}

/// An observer of each stream that does nothing.
struct Watch;

impl Observer for Watch {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(Self))
    }
}

impl StreamObserver for Watch {}

fn news() -> HubService<impl Fn(&RequestHead<'_>) -> Subscribe + Clone + Send + Sync + 'static> {
    Hub::new().service(|_: &RequestHead<'_>| Subscribe::to("news"))
}
