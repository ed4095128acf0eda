//! One source on one port: services read it over gRPC, browsers as an event stream.
//!
//! ```sh
//! cargo run -p tower-sse-example-tonic
//! cargo run -p tower-sse-example-tonic -- watch http://127.0.0.1:3000/          # the gRPC stream
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/                 # the event stream
//! ```

mod sensor;

use std::time::Duration;

use axum::{response::Html, routing::get};
use futures_util::{Stream, StreamExt, stream};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tonic::{
    Status,
    codegen::BoxStream,
    service::Routes,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tower_sse::{BoxError, Event, Events, SseLayer};

use crate::sensor::{Reading, Sensor, SensorServer};

/// The source: a sensor read at one pace, whatever the number of watchers.
#[derive(Clone)]
struct Thermometer(watch::Receiver<Reading>);

impl Thermometer {
    fn start() -> Self {
        let (latest, readings) = watch::channel(Reading { number: 0, celsius: 20.0 });
        tokio::spawn(measure(latest));
        Self(readings)
    }

    /// Streams the latest reading, then each new one. A slow reader receives the newest, not all.
    fn readings(&self) -> impl Stream<Item = Reading> + Send + use<> {
        let mut readings = self.0.clone();
        readings.mark_changed();
        stream::unfold(readings, async |mut readings| {
            readings.changed().await.ok()?;
            let reading = readings.borrow_and_update().clone();
            Some((reading, readings))
        })
    }
}

async fn measure(latest: watch::Sender<Reading>) {
    while !latest.is_closed() {
        sleep(Duration::from_millis(500)).await;
        latest.send_modify(|reading| {
            reading.number += 1;
            reading.celsius = 20.0 + 5.0 * (reading.number as f64 / 10.0).sin();
        });
    }
}

impl Sensor for Thermometer {
    fn watch(&self) -> BoxStream<Reading> {
        self.readings().map(Ok::<_, Status>).boxed()
    }
}

async fn serve() -> Result<(), BoxError> {
    let thermometer = Thermometer::start();
    let grpc = Routes::new(SensorServer(thermometer.clone()));
    let routes = Routes::from(grpc.into_axum_router().route("/", get(Html(PAGE))));

    let sse = SseLayer::from_fn(move |_request| {
        let readings = thermometer.readings();
        async { Events::new(readings.map(|reading| Event::builder().id(reading.number).json(&reading))) }
    });

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    Server::builder()
        .accept_http1(true) // browsers without TLS
        .layer(sse)
        .add_routes(routes)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// Runs a gRPC client that prints each reading.
async fn watch(address: String) -> Result<(), BoxError> {
    let mut readings = sensor::watch(Endpoint::new(address)?.connect().await?).await?;
    while let Some(Reading { number, celsius }) = readings.message().await? {
        println!("{number}: {celsius:.2} °C");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => serve().await,
        (Some("watch"), Some(address)) => watch(address).await,
        _ => Err("usage: tower-sse-example-tonic [watch http://HOST:PORT/]".into()),
    }
}

const PAGE: &str = include_str!("../page.html");
