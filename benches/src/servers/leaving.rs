//! tower-sse as a service has it that is deployed again: with a registry of streams, and a drain on SIGTERM.

use std::{convert::Infallible, io, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http2,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower::{Layer, Service, service_fn};
use tower_sse::{
    BoxError, SseLayer,
    hub::{Hub, Subscribe},
    streams::Streams,
};

use super::{Form, plain, us};
use crate::control;

/// Serves what is published until SIGTERM, and then drains.
pub(crate) async fn serve(listener: TcpListener, control: TcpListener, form: Form) -> io::Result<()> {
    let hub = Hub::new();
    let watched = hub.topic("events").map_err(io::Error::other)?;
    let log = hub.topic("log").map_err(io::Error::other)?;
    let (streams, graceful) = (Streams::new(), GracefulShutdown::new());
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("events"))).streams(&streams);
    let service = layer.layer(service_fn(async |_| Ok::<_, Infallible>(us::not_found())));

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        served = accept(&listener, service, &graceful, form) => return served,
        obeyed = control::obey(control, us::publisher(watched, log)) => return obeyed,
        _ = terminate.recv() => {}
    }
    drop(listener);
    streams.drain_with_server(graceful.shutdown(), DEADLINE).await;
    Ok(())
}

async fn accept<S, B>(listener: &TcpListener, service: S, graceful: &GracefulShutdown, form: Form) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let (io, service) = (TokioIo::new(connection), TowerToHyperService::new(service.clone()));
        // How a connection ends is of no interest here.
        if form.http2 {
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
            let connection = graceful.watch(connection);
            tokio::spawn(async { drop(connection.await) });
        } else {
            let connection = graceful.watch(plain::http1(form).serve_connection(io, service));
            tokio::spawn(async { drop(connection.await) });
        }
    }
}

const DEADLINE: Duration = Duration::from_secs(20);
