//! Streams that are opened and kept.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_sse::BoxError;

/// Streams that are open until they are dropped.
pub(crate) enum Streams {
    Http1(#[expect(dead_code, reason = "it keeps the streams open")] Vec<TcpStream>),
    Http2(#[expect(dead_code, reason = "it keeps the streams open")] Vec<Incoming>),
}

impl Streams {
    /// Opens so many streams, and waits until each has its first bytes.
    pub(crate) async fn open(address: &str, streams: usize, by_http2: bool) -> Result<Self, BoxError> {
        if !by_http2 {
            let opening = stream::iter(0..streams).map(|_| open(address)).buffer_unordered(64);
            return Ok(Self::Http1(opening.try_collect().await?));
        }
        let mut bodies = Vec::new();
        while bodies.len() < streams {
            bodies.extend(connection(address, ON_ONE_CONNECTION.min(streams - bodies.len())).await?);
        }
        Ok(Self::Http2(bodies))
    }
}

async fn open(address: &str) -> Result<TcpStream, BoxError> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n{BROWSER}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
    while !read.windows(FIRST.len()).any(|window| window == FIRST.as_bytes()) {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err("the server closed a stream".into());
        }
        read.extend_from_slice(&buffer[..length]);
    }
    Ok(stream)
}

async fn connection(address: &str, streams: usize) -> Result<Vec<Incoming>, BoxError> {
    let io = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(connection);
    let mut bodies = Vec::new();
    for _ in 0..streams {
        let request = Request::get(format!("http://{address}/")).header("accept", "text/event-stream");
        let mut body = sender.send_request(request.body(Empty::<Bytes>::new())?).await?.into_body();
        body.frame().await.ok_or("the server closed a stream")??;
        bodies.push(body);
    }
    Ok(bodies)
}

/// As many streams on a connection as browsers and proxies open.
const ON_ONE_CONNECTION: usize = 100;

/// The beginning of the first event.
const FIRST: &str = "event: subscribed";

/// About as long as the request of a browser.
const BROWSER: &str = "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\
    accept-encoding: gzip, deflate, br, zstd\r\naccept-language: en-US,en;q=0.9\r\ncache-control: no-cache\r\n\
    cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef\r\nreferer: http://127.0.0.1/\r\n";
