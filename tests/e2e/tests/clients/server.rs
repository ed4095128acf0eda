//! The servers of the clients: a score as the layer plays it, and one with an additional blank line.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use tokio::{net::TcpListener, task::AbortHandle};
use tower_sse::{Negotiate, SseLayer};

use crate::score::{Beats, Count, Score};

/// HTTP/1.1, and HTTP/2 by prior knowledge, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    accept: AbortHandle,
}

impl Server {
    pub(crate) async fn start(app: Router) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accept = tokio::spawn(async { axum::serve(listener, app).await }).abort_handle();
        Ok(Self { address, accept })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Plays a score to each request, whatever its method or path.
pub(crate) fn plays(score: &Score) -> Router {
    let score = score.clone();
    let sse = SseLayer::from_fn(move |request: Request| {
        let events = score.play(&request);
        async { events }
    })
    .negotiate(Negotiate::Always)
    .methods([Method::GET, Method::POST])
    .last_event_id_query(QUERY)
    .heartbeat(Duration::from_millis(2))
    .retry(RETRY)
    .observer(Count);
    Router::new().layer(sse).layer(axum::middleware::map_request(async |mut request: Request| {
        request.extensions_mut().insert(Beats::default());
        request
    }))
}

/// The same, but each heartbeat is the one that most servers send: a comment and a blank line.
pub(crate) fn plays_with_blank_lines(score: &Score) -> Router {
    let doubled = |data| if data == ":\n" { Bytes::from_static(b":\n\n") } else { data };
    let in_body = move |body: Body| Body::new(body.map_frame(move |frame| frame.map_data(doubled)));
    plays(score).layer(tower::util::MapResponseLayer::new(move |response: Response| response.map(in_body)))
}

/// The parameter in which event-source-polyfill sends its last id. All others send the header.
pub(crate) const QUERY: &str = "lastEventId";

pub(crate) const RETRY: Duration = Duration::from_millis(50);
