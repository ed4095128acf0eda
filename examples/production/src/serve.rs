//! The accept loop: timeouts of a connection, and its graceful end. See `docs/serving.md`.

use std::{
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request, serve::Listener};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tower::ServiceExt;

use crate::{settings::Settings, socket};

/// The timeouts of a connection.
#[derive(Clone, Copy)]
struct Times {
    /// The limit for the head of a request, and for the answer to an HTTP/2 ping.
    request: Duration,
    /// The age after which the connection takes no more requests.
    age: Duration,
}

/// Serves until `stopped` completes and each connection has ended. Dropping the future closes all connections.
pub(crate) async fn serve(
    mut listener: TcpListener,
    app: Router,
    settings: &Settings,
    stopped: impl Future<Output = ()>,
) {
    let times = Times { request: settings.request, age: settings.connection };
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopped);
    loop {
        select! {
            // axum's implementation: skips failed connections, and waits for a second if no descriptor is left.
            (stream, peer) = Listener::accept(&mut listener) => {
                socket::tune(&stream);
                connections.spawn(connection(stream, peer, app.clone(), times, stopping.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = &mut stopped => break,
        }
    }
    drop((listener, stop));
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, app: Router, times: Times, mut stopping: watch::Receiver<()>) {
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&has_asked);
    let app = app.map_request(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(Body::new)
    });

    let mut http = auto::Builder::new(TokioExecutor::new());
    // The head of a request. This includes the idle time of an HTTP/1.1 connection.
    // One buffer for each write, which is cheaper for small events, and its limit.
    http.http1().timer(TokioTimer::new()).header_read_timeout(times.request).writev(false).max_buf_size(MAX_BUFFER);
    // A client that has not completed a frame or a head cannot answer a ping.
    http.http2().timer(TokioTimer::new()).keep_alive_interval(times.request).keep_alive_timeout(times.request);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    let mut first_request = pin!(sleep(times.request));
    let mut end = pin!(async {
        select! {
            () = sleep(times.age) => {}
            _ = stopping.changed() => {}
        }
    });
    let (mut awaits_first, mut is_ending) = (true, false);
    loop {
        select! {
            // An error is normal: most streams end when the client disconnects.
            _ = connection.as_mut() => return,
            // No HTTP timeout runs until the first bytes show the version.
            () = &mut first_request, if awaits_first => {
                awaits_first = false;
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            () = &mut end, if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The limit of what a connection buffers for a client that does not read, and of a request's head.
const MAX_BUFFER: usize = 16 << 10;
