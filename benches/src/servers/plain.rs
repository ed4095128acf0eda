//! hyper's server around a service, as the crate's documentation has it where speed and memory count: HTTP/1.1 alone, since
//! the builder that finds the version out keeps a buffer of 16 KiB, and no delay.

use std::io;

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::Service;
use tower_sse::BoxError;

/// Serves each connection in a task of its own.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S, http2: bool) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let (io, service) = (TokioIo::new(connection), TowerToHyperService::new(service.clone()));
        // How a connection ends is of no interest here.
        if http2 {
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
            tokio::spawn(async { drop(connection.await) });
        } else {
            let connection = http1::Builder::new().serve_connection(io, service);
            tokio::spawn(async { drop(connection.await) });
        }
    }
}
