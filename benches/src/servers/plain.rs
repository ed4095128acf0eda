//! hyper's server around a service, as the crate's documentation has it where speed and memory count: HTTP/1.1 alone, since
//! the builder that finds the version out keeps a buffer of 16 KiB, one buffer for a write, and no delay.

use std::{io, net, thread};

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
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::Service;
use tower_sse::BoxError;

use super::{Form, runtime};

/// Serves each connection in a task of its own. With several runtimes this one accepts, serves a share, and hands out the
/// others in turn, so that all have the same number.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S, form: Form) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut others = Vec::new();
    for _ in 1..form.cores {
        others.push(other(service.clone(), form)?);
    }
    for turn in (0..=others.len()).cycle() {
        let (connection, _) = listener.accept().await?;
        match others.get(turn) {
            // A runtime takes only what is registered with it.
            Some(other) => other.send(connection.into_std()?).map_err(io::Error::other)?,
            None => spawn(connection, service.clone(), form)?,
        }
    }
    Ok(())
}

/// Starts a thread with a runtime of its own, which ends with the sender.
fn other<S, B>(service: S, form: Form) -> io::Result<mpsc::UnboundedSender<net::TcpStream>>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (sender, mut connections) = mpsc::unbounded_channel::<net::TcpStream>();
    let runtime = runtime(1)?;
    thread::Builder::new().name("core".to_owned()).spawn(move || {
        runtime.block_on(async {
            while let Some(connection) = connections.recv().await {
                // A connection that has ended meanwhile is the client's to notice.
                let _ = TcpStream::from_std(connection).and_then(|stream| spawn(stream, service.clone(), form));
            }
        });
    })?;
    Ok(sender)
}

fn spawn<S, B>(connection: TcpStream, service: S, form: Form) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Send + 'static + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    connection.set_nodelay(true)?;
    let (io, service) = (TokioIo::new(connection), TowerToHyperService::new(service));
    // The way in which a connection ends is of no interest here.
    if form.http2 {
        let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
        tokio::spawn(async { drop(connection.await) });
    } else {
        let connection = http1(form).serve_connection(io, service);
        tokio::spawn(async { drop(connection.await) });
    }
    Ok(())
}

/// Returns hyper's builder in this form.
pub(super) fn http1(form: Form) -> http1::Builder {
    let mut http = http1::Builder::new();
    if !form.is_vectored {
        http.writev(false).max_buf_size(MAX_BUFFER);
    }
    http
}

/// As `docs/serving.md` has it.
const MAX_BUFFER: usize = 16 << 10;
