//! The way to the chat, which can be closed: then all connections are cut, and new ones are refused.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{
        StatusCode, Uri,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::any,
};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{AbortHandle, JoinSet},
};
use tower_sse::BoxError;

/// One address for the browser, whichever server is behind it.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    /// Holds the port while no server listens on it.
    _port: TcpSocket,
    forward: Forward,
    accept: Option<AbortHandle>,
}

#[derive(Debug, Clone)]
struct Forward {
    client: Client<HttpConnector, Body>,
    /// Returns the chat's address, without a path.
    origin: Arc<Mutex<String>>,
    /// The script that is added to each page.
    script: Arc<str>,
}

impl Door {
    /// Closed, to begin with.
    pub(crate) fn new(script: String) -> Result<Self, BoxError> {
        let port = socket(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let forward = Forward { client, origin: Arc::default(), script: script.into() };
        Ok(Self { address: port.local_addr()?, _port: port, forward, accept: None })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Forwards all connections to this chat.
    pub(crate) fn open(&mut self, origin: String) -> Result<(), BoxError> {
        *self.forward.origin.lock().unwrap_or_else(PoisonError::into_inner) = origin;
        let listener = socket(self.address)?.listen(128)?;
        let router = Router::new().fallback(any(forward)).with_state(self.forward.clone());
        self.accept = Some(tokio::spawn(accept(listener, router)).abort_handle());
        Ok(())
    }

    /// Cuts all connections.
    pub(crate) fn shut(&mut self) {
        if let Some(accept) = self.accept.take() {
            accept.abort();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
    }
}

/// One of several sockets at the same port, of which one at most listens.
fn socket(address: SocketAddr) -> Result<TcpSocket, BoxError> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Connections end with this future.
async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(State(forward): State<Forward>, request: Request) -> Response {
    forward.send(request).await.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

impl Forward {
    async fn send(&self, mut request: Request) -> Result<Response, BoxError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *request.uri_mut() = format!("{origin}{path}").parse::<Uri>()?;
        let response = self.client.request(request).await?;
        let is_page =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if !is_page {
            return Ok(response.map(Body::new));
        }
        let (mut head, body) = response.into_parts();
        head.headers.remove(CONTENT_LENGTH);
        let script = Bytes::from(format!("<script>{}</script>", self.script));
        let page = [body.collect().await?.to_bytes(), script].concat();
        Ok(Response::from_parts(head, page.into()))
    }
}
