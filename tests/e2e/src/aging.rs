//! Connections with a maximum age, with the lines of `docs/serving.md`.

use std::{pin::pin, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};

/// Serves a connection until the client closes it, or until its streams have ended after this age.
pub async fn connection<I>(io: I, app: Router, age: Duration)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).writev(false).max_buf_size(16 << 10);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(app)));
    tokio::select! {
        _ = connection.as_mut() => return,
        // HTTP/1: the current response is the last. HTTP/2: GOAWAY. An open stream continues.
        () = sleep(age) => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}
