//! Servers on a free port of loopback, which end with all their connections.

use std::{io, net::SocketAddr};

use axum::serve::ListenerExt;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tower::Service;
use tower_sse::BoxError;

/// A server that runs until it is dropped, or until [`stop`](Self::stop) has waited for its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a tower service by plain hyper: HTTP/1, and HTTP/2 by prior knowledge.
    ///
    /// # Errors
    ///
    /// Errors if no port is free.
    pub async fn hyper<S, B>(service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        Self::start(|listener, stopped| serve(listener, service, stopped)).await
    }

    /// Serves by axum's own server.
    ///
    /// # Errors
    ///
    /// Errors if no port is free.
    pub async fn axum(app: axum::Router) -> io::Result<Self> {
        Self::start(|listener, stopped| async {
            let stopped = async { drop(stopped.await) };
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            // Documented to never return an error.
            let _ = axum::serve(listener, app.into_make_service()).with_graceful_shutdown(stopped).await;
        })
        .await
    }

    /// Serves this listener until the receiver completes, and its connections have ended.
    ///
    /// # Errors
    ///
    /// Errors if no port is free.
    pub async fn start<F>(serve: impl FnOnce(TcpListener, oneshot::Receiver<()>) -> F) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self { address, stop, task: tokio::spawn(serve(listener, stopped)) })
    }

    /// Returns the address of the listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections, and waits until the open ones have ended.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn serve<S, B>(listener: TcpListener, service: S, mut stopped: oneshot::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let builder = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
        };
        // A client that has already left is no reason to stop.
        let Ok((stream, _)) = accepted else { continue };
        // With Nagle's algorithm small frames wait for the client's delayed acknowledgement: 40 ms each time.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(service.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    connections.shutdown().await;
}
