//! Chromium and Firefox, whose streams end after their `lifetime`: the connections over which they reconnect.

use std::{collections::HashSet, time::Duration};

use axum::{Extension, Router, http::StatusCode, response::Html, routing::get};
use futures_util::stream;
use http::Request;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;
use tower_sse::{Event, Events, SseLayer};
use tower_sse_e2e::{
    aging,
    browser::{Browser, Kind},
    certificate::Certificate,
    client::within,
    site::Protocol,
};

/// The number of a connection, in the order in which they were accepted.
#[derive(Clone, Copy)]
struct Connection(usize);

/// A server whose streams end soon, and that records the connection of each.
struct Server {
    url: String,
    visits: mpsc::UnboundedReceiver<usize>,
    accept: AbortHandle,
}

impl Server {
    async fn start(protocol: Protocol, certificate: &Certificate, age: Duration) -> Self {
        let (note, visits) = mpsc::unbounded_channel();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (url, tls) = match protocol {
            Protocol::Http1 => (format!("http://127.0.0.1:{port}/"), None),
            Protocol::Http2 => {
                let config = certificate.server(&["h2"]).unwrap();
                (format!("https://localhost:{port}/"), Some(TlsAcceptor::from(config)))
            }
        };
        let accept = tokio::spawn(accept(listener, tls, app(note), age)).abort_handle();
        Self { url, visits, accept }
    }

    /// The connections of the first streams.
    async fn connections(&mut self) -> Vec<usize> {
        let mut connections = Vec::new();
        while connections.len() < VISITS {
            connections.push(within(self.visits.recv()).await.expect("the server runs"));
        }
        connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, app: Router, age: Duration) {
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (tls, app) = (tls.clone(), app.clone().layer(Extension(Connection(number))));
        tokio::spawn(serve(stream, tls, app, age));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, app: Router, age: Duration) {
    let Some(tls) = tls else { return aging::connection(stream, app, age).await };
    // A browser may connect and leave again.
    if let Ok(stream) = tls.accept(stream).await {
        aging::connection(stream, app, age).await;
    }
}

fn app(note: mpsc::UnboundedSender<usize>) -> Router {
    let events = SseLayer::from_fn(move |request: Request<_>| {
        let Connection(number) = *request.extensions().get().expect("each connection has a number");
        // A test that has finished does not receive.
        let _ = note.send(number);
        async { Events::new(stream::pending::<Event>()) }
    })
    .lifetime(LIFETIME)
    .retry(Duration::from_millis(100));
    Router::new()
        .route("/", get(Html("<!doctype html><link rel=icon href=data:,><script>new EventSource('/events')</script>")))
        .route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(events))
}

async fn each_kind(age: Duration, is_right: impl Fn(&HashSet<usize>) -> bool) {
    let certificate = Certificate::new().unwrap();
    for kind in [Kind::Chromium, Kind::Firefox] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut server = Server::start(protocol, &certificate, age).await;
            let _browser = Browser::open(kind, &server.url, &certificate).unwrap();
            let connections = server.connections().await;
            println!("{kind} over {protocol}, connections of {age:?}: {connections:?}");
            let different: HashSet<_> = connections.iter().copied().collect();
            assert!(is_right(&different), "{kind} over {protocol}: {connections:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
async fn browser_reconnects_over_a_new_connection() {
    each_kind(LIFETIME / 4, |different| different.len() == VISITS).await;
}

#[tokio::test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
async fn a_lifetime_alone_does_not_move_a_browser() {
    each_kind(Duration::from_secs(3600), |different| different.len() == 1).await;
}

/// A stream lives for four fifths of it at least: longer than the maximum age of a connection.
const LIFETIME: Duration = Duration::from_secs(1);

const VISITS: usize = 4;
