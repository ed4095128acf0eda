//! The origin behind the proxies: streams that a test writes.

use std::convert::Infallible;

use axum::{
    Router,
    extract::State,
    http::{Request, Version},
    response::{IntoResponse, Response, Sse, sse},
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tower_sse::{Event, Events, Heartbeat, SseLayer};
use tower_sse_e2e::{
    certificate::Certificate,
    document::with,
    site::{Protocol, Site},
};

/// A server whose streams are handed to the test when they are requested: at `/events` by this crate's layer, at `/plain`
/// by axum's own `Sse`, whose head has `no-cache` alone, at `/decorated` by the same behind this crate's layer.
pub(crate) struct Origin {
    site: Site,
    opened: UnboundedReceiver<Opened>,
}

/// A requested stream. Each sent text is an event; the channel is closed when the client has left.
pub(crate) struct Opened {
    pub(crate) feed: Sender<String>,
    /// The HTTP version of the request.
    pub(crate) version: Version,
}

impl Origin {
    pub(crate) async fn start(heartbeat: impl Into<Heartbeat>) -> Self {
        let (tell, opened) = mpsc::unbounded_channel();
        let events = tell.clone();
        let sse = SseLayer::from_fn(move |request: Request<_>| {
            let texts = open::<axum::body::Body>(&request, &events);
            std::future::ready(Events::new(texts.map(Event::new)))
        })
        .when(|head| head.uri().path() == "/events")
        .heartbeat(heartbeat);
        let decorated = get(plain).layer(SseLayer::decorate());
        let router =
            Router::new().route("/plain", get(plain)).route("/decorated", decorated).with_state(tell).layer(sse);
        let certificate = Certificate::new().expect("a certificate");
        let site = Site::start(Protocol::Http1, &certificate, router).await.expect("a server");
        Self { site, opened }
    }

    /// A configuration with this in the place of the application.
    pub(crate) fn stands_in(&self, config: &str) -> String {
        with(config, "127.0.0.1:3000", &self.site.origin().replace("http://", ""))
    }

    /// Returns the port, on 127.0.0.1.
    pub(crate) fn port(&self) -> String {
        self.site.origin().rsplit_once(':').expect("an address with a port").1.to_owned()
    }

    /// Returns the next requested stream.
    pub(crate) async fn opened(&mut self) -> Opened {
        self.opened.recv().await.expect("the server runs")
    }
}

async fn plain(State(tell): State<UnboundedSender<Opened>>, request: axum::extract::Request) -> Response {
    let texts = open(&request, &tell);
    Sse::new(texts.map(|text| Ok::<_, Infallible>(sse::Event::default().data(text)))).into_response()
}

fn open<B>(request: &Request<B>, tell: &UnboundedSender<Opened>) -> impl Stream<Item = String> + Send + use<B> {
    let (feed, texts) = mpsc::channel(1);
    // The test may be over, without a receiver.
    let _ = tell.send(Opened { feed, version: request.version() });
    stream::unfold(texts, |mut texts: Receiver<String>| async { texts.recv().await.map(|text| (text, texts)) })
}
