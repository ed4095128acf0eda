//! A reverse proxy that adds heartbeats to the event streams of an upstream, with `decorate`.
//!
//! ```sh
//! cargo run --example proxy                                   # in front of a built-in upstream
//! UPSTREAM=http://127.0.0.1:8080 cargo run --example proxy    # in front of yours
//! ```
//!
//! The built-in upstream is typical: it sends an event when it has one, and nothing in between. The proxy adds heartbeats,
//! sends the first byte at once, and ends the stream cleanly when the upstream fails.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderName, StatusCode, Uri, header::CONTENT_TYPE},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, SseLayer};

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    address: Uri,
}

impl Upstream {
    fn new(address: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), address }
    }

    /// Returns the upstream's address for the same path and query.
    fn uri(&self, of: &Uri) -> Result<Uri, BoxError> {
        let mut parts = of.clone().into_parts();
        parts.scheme = self.address.scheme().cloned();
        parts.authority = self.address.authority().cloned();
        Ok(Uri::from_parts(parts)?)
    }
}

/// Forwards a request without its hop-by-hop headers.
async fn forward(State(upstream): State<Upstream>, mut request: Request) -> Response {
    let sent = async {
        *request.uri_mut() = upstream.uri(request.uri())?;
        for name in HOP_BY_HOP {
            request.headers_mut().remove(name);
        }
        Ok::<_, BoxError>(upstream.client.request(request).await?)
    };
    match sent.await {
        Ok(mut response) => {
            for name in HOP_BY_HOP {
                response.headers_mut().remove(name);
            }
            response.map(Body::new)
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = match std::env::var("UPSTREAM") {
        Ok(address) => address,
        Err(_) => quiet_upstream().await?,
    };
    let app = Router::new()
        .fallback(forward)
        .layer(SseLayer::decorate().heartbeat(Duration::from_secs(1)))
        .with_state(Upstream::new(upstream.parse()?));

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("upstream is {upstream}");
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Starts an upstream, and returns its address.
async fn quiet_upstream() -> Result<String, BoxError> {
    let app = Router::new().route("/", get(Html(PAGE))).route("/events", get(quiet_events));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(address)
}

/// Serves an event every five seconds, written by hand as many servers do.
async fn quiet_events() -> Response {
    let events = stream::iter(1..).then(async |number| {
        sleep(Duration::from_secs(if number == 1 { 0 } else { 5 })).await;
        Ok::<_, Infallible>(Bytes::from(format!("id: {number}\ndata: event {number}\n\n")))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// The hop-by-hop headers of RFC 9110 §7.6.1. A general proxy also removes those that `connection` names, and adds
/// `forwarded`.
const HOP_BY_HOP: [HeaderName; 6] = [
    HeaderName::from_static("connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
    HeaderName::from_static("transfer-encoding"),
    HeaderName::from_static("upgrade"),
];

const PAGE: &str = include_str!("proxy.html");
