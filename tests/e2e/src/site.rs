//! A site on loopback that speaks one protocol: HTTP/1.1 in plain text, or HTTP/2 over TLS.

use std::{error::Error, fmt, io, net::SocketAddr, sync::Arc};

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::certificate::Certificate;

/// The protocol of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocols that the tests use")]
pub enum Protocol {
    /// HTTP/1.1 in plain text.
    Http1,
    /// HTTP/2 over TLS, which has to be agreed on by ALPN.
    Http2,
}

/// A server with all its connections, until it is dropped.
#[derive(Debug)]
pub struct Site {
    protocol: Protocol,
    address: SocketAddr,
    accept: AbortHandle,
}

impl Site {
    /// Serves on a free port.
    ///
    /// # Errors
    ///
    /// Errors if no port is free, or the certificate is invalid.
    pub async fn start(
        protocol: Protocol,
        certificate: &Certificate,
        router: Router,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let tls = match protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => Some(certificate.server(&["h2"])?),
        };
        let accept = tokio::spawn(accept(listener, tls, router)).abort_handle();
        Ok(Self { protocol, address, accept })
    }

    /// Returns the address of the site, without a path.
    #[must_use]
    pub fn origin(&self) -> String {
        match self.protocol {
            Protocol::Http1 => format!("http://{}", self.address),
            Protocol::Http2 => format!("https://localhost:{}", self.address.port()),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Connections end with this future.
async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, router: Router) {
    let mut connections = JoinSet::new();
    // A client that has already left is no reason to stop.
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, router) = (tls.clone(), router.clone());
        connections.spawn(async move {
            let result = match tls {
                None => plain(stream, router).await,
                Some(config) => encrypted(stream, config, router).await,
            };
            // Some tests close a browser in the middle of a connection.
            drop(result);
        });
        while connections.try_join_next().is_some() {}
    }
}

type Served = Result<(), Box<dyn Error + Send + Sync>>;

async fn plain(stream: TcpStream, router: Router) -> Served {
    stream.set_nodelay(true)?;
    let service = TowerToHyperService::new(router);
    Ok(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await?)
}

async fn encrypted(stream: TcpStream, config: Arc<ServerConfig>, router: Router) -> Served {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("the client did not agree on HTTP/2").into());
    }
    let service = TowerToHyperService::new(router);
    Ok(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await?)
}
