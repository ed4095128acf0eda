//! The servers of the comparison, each in a thread of its own.

use std::{fs, net::SocketAddr, path::PathBuf, sync::mpsc, thread, time::Duration};

use axum::{Router, serve::ListenerExt};
use futures_util::TryStreamExt;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::{TcpListener, TcpStream};
use tonic::{
    service::Routes,
    transport::{self, server::TcpIncoming},
};
use tower_sse::{
    BoxError, Event, SseLayer,
    hub::{Hub, Retention, Subscribe, Topic},
};
use tower_sse_e2e::{
    flat::{Flat, FlatListener},
    socket::{self, Options},
};

/// A server, and the topic to which its clients listen.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    topic: Topic,
    /// The server's thread in `/proc`.
    task: PathBuf,
}

impl Server {
    /// Starts a server whose connections have these options, and `TCP_NODELAY`.
    pub(crate) fn start(kind: &str, options: Options) -> Result<Self, BoxError> {
        let hub = Hub::new();
        let topic = hub.topic_with("news", Retention::new().events(10_000).bytes(4 << 20))?;
        let (sender, started) = mpsc::channel();
        let kind = kind.to_owned();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                sender.send((listener.local_addr()?, fs::read_link("/proc/thread-self")?))?;
                serve(&kind, listener, &hub, options).await
            })
        });
        let (address, task) = started.recv()?;
        Ok(Self { address, topic, task: PathBuf::from("/proc").join(task) })
    }

    /// Publishes an event with this number of bytes of data.
    pub(crate) fn publish(&self, size: usize) {
        drop(self.topic.publish(Event::new("x".repeat(size))));
    }

    /// Returns the CPU time of the server's thread.
    pub(crate) fn cpu(&self) -> Result<Duration, BoxError> {
        let times = fs::read_to_string(self.task.join("schedstat"))?;
        Ok(Duration::from_nanos(times.split(' ').next().unwrap_or_default().parse()?))
    }
}

async fn serve(kind: &str, listener: TcpListener, hub: &Hub, options: Options) -> Result<(), BoxError> {
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("news")));
    let app = Router::new().layer(layer.clone());
    let tune = move |stream: &TcpStream| drop(socket::tune(stream, options));
    match kind {
        "axum" => axum::serve(listener.tap_io(move |stream| tune(stream)), app.into_make_service()).await?,
        "axum-flat" => {
            let listener = FlatListener(listener.tap_io(move |stream| tune(stream)));
            axum::serve(listener, app.into_make_service()).await?;
        }
        "tonic" => {
            let incoming = TcpIncoming::from(listener).inspect_ok(tune);
            let mut server = transport::Server::builder().accept_http1(true).layer(layer);
            server.add_routes(Routes::default()).serve_with_incoming(incoming).await?;
        }
        "tonic-flat" => {
            let incoming = TcpIncoming::from(listener).inspect_ok(tune).map_ok(Flat);
            let mut server = transport::Server::builder().accept_http1(true).layer(layer);
            server.add_routes(Routes::default()).serve_with_incoming(incoming).await?;
        }
        kind => loop {
            let (stream, _) = listener.accept().await?;
            tune(&stream);
            let mut http = http1::Builder::new();
            if let Some(kilobytes) = kind.strip_prefix("hyper-flat-") {
                http.writev(false).max_buf_size(kilobytes.parse::<usize>()? << 10);
            }
            let service = TowerToHyperService::new(app.clone());
            tokio::spawn(async move { drop(http.serve_connection(TokioIo::new(stream), service).await) });
        },
    }
    Ok(())
}
