//! A current-thread runtime for each core, and one hub for all of them: one acceptor hands out the connections in turn, and
//! a graceful shutdown ends the streams of all runtimes.
//!
//! ```sh
//! cargo run --example cores
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/
//! ```
//!
//! `CORES` sets the number of runtimes. Defaults to the number of cores.

use std::{future::Future, io, net, pin::pin, thread, time::Duration};

use axum::{Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime, select,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{interval, sleep},
};
use tower_sse::{
    BoxError, Event, SseLayer,
    hub::{Hub, Subscribe},
    streams::Streams,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let (hub, streams) = (Hub::new(), Streams::new());
    let seconds = hub.topic("seconds")?;
    let sse = SseLayer::new(hub.service(|_| Subscribe::to("seconds"))).streams(&streams);
    let app = Router::new().route("/", get("Events are at this address, too.\n").layer(sse));

    let count = std::env::var("CORES").map_or_else(
        |_| Ok(thread::available_parallelism()?.get()),
        |cores| cores.parse::<usize>().map_err(io::Error::other),
    )?;
    let (running, mut all_ended) = mpsc::channel::<()>(1);
    let cores = (0..count.max(1)).map(|_| core(app.clone(), running.clone())).collect::<io::Result<Vec<_>>>()?;
    drop(running);

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (mut stopped, mut second, mut number) = (pin!(stopped()), interval(Duration::from_secs(1)), 0_u64);
    println!("listening on http://{}/", listener.local_addr()?);
    let mut turn = 0;
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // A runtime serves only connections that are registered with it.
                    cores[turn % cores.len()].send(stream.into_std()?).await?;
                    turn += 1;
                }
                // Out of descriptors: wait until one is closed.
                Err(_) => sleep(Duration::from_secs(1)).await,
            },
            _ = second.tick() => {
                number += 1;
                // The clients of all runtimes receive it, in the same order.
                _ = seconds.publish(Event::new(number.to_string()));
            }
            stopped = &mut stopped => break stopped?,
        }
    }

    // No new connections; each runtime ends after its last one.
    drop((listener, cores));
    let (report, _) = streams.drain_with_server(all_ended.recv(), DEADLINE).await;
    println!("drained: {} ended, {} aborted", report.ended, report.aborted);
    Ok(())
}

/// Starts a thread with a runtime, which ends after the returned sender is dropped and its connections have ended.
fn core(app: Router, running: mpsc::Sender<()>) -> io::Result<mpsc::Sender<net::TcpStream>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, connections) = mpsc::channel(64);
    thread::Builder::new().name("core".to_owned()).spawn(move || {
        runtime.block_on(serve(app, connections));
        drop(running);
    })?;
    Ok(sender)
}

async fn serve(app: Router, mut connections: mpsc::Receiver<net::TcpStream>) {
    let (stop, stopping) = watch::channel(());
    let mut open = JoinSet::new();
    loop {
        select! {
            next = connections.recv() => match next {
                Some(stream) => drop(open.spawn(connection(stream, app.clone(), stopping.clone()))),
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    drop(stop);
    while open.join_next().await.is_some() {}
}

async fn connection(stream: net::TcpStream, app: Router, mut stopping: watch::Receiver<()>) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // Without this, an event smaller than a packet may wait until the one before it is acknowledged.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    // One buffer for each write, which is cheaper for small events, and its limit.
    http.timer(TokioTimer::new()).writev(false).max_buf_size(16 << 10);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    select! {
        // An error is normal: most streams end when the client disconnects.
        _ = connection.as_mut() => return,
        // The current response is the last. The drain ends it, if it is a stream.
        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Waits for the signal to stop: SIGTERM, or Ctrl-C where there is none.
fn stopped() -> impl Future<Output = io::Result<()>> {
    #[cfg(unix)]
    return async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        terminate.recv().await;
        Ok(())
    };
    #[cfg(not(unix))]
    return tokio::signal::ctrl_c();
}

const DEADLINE: Duration = Duration::from_secs(20);
