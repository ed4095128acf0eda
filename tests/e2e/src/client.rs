//! A client with one connection, over either version of HTTP, and the time limit of a test.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, Version, header::ACCEPT};
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinHandle};

/// The HTTP versions of a client.
pub type Asking = Request<Empty<Bytes>>;

/// One connection to a server. Dropping it closes the connection.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    connection: JoinHandle<hyper::Result<()>>,
    address: SocketAddr,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    /// Connects, with HTTP/2 by prior knowledge.
    ///
    /// # Errors
    ///
    /// Errors if no server listens, or it does not speak HTTP.
    pub async fn connect(address: SocketAddr, version: Version) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        let (sender, connection) = if version == Version::HTTP_2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
            (Sender::Two(sender), tokio::spawn(connection))
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
            (Sender::One(sender), tokio::spawn(connection))
        };
        Ok(Self { sender, connection, address })
    }

    /// Sends a request for events, as an `EventSource` does.
    ///
    /// # Errors
    ///
    /// Returns the error of the connection.
    pub async fn ask(&mut self, method: Method, path: &str) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::new(Empty::new());
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("text/event-stream"));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        self.send(request).await
    }

    /// Sends a request; its address needs a path only.
    ///
    /// # Errors
    ///
    /// Returns the error of the connection.
    pub async fn send(&mut self, mut request: Asking) -> hyper::Result<Response<Incoming>> {
        let authority = self.address.to_string();
        match &mut self.sender {
            Sender::One(sender) => {
                let host = http::HeaderValue::try_from(authority).expect("an address is a valid header");
                request.headers_mut().insert(http::header::HOST, host);
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(http::uri::Scheme::HTTP);
                parts.authority = authority.parse().ok();
                *request.uri_mut() = parts.try_into().expect("scheme, authority and path make an address");
                sender.send_request(request).await
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A limit for anything that a test waits for. Only a failure takes as long, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Waits for a future, up to [`LIMIT`].
///
/// # Panics
///
/// Panics if the future does not complete in time.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("the future completes in time")
}
