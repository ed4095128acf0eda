//! Live charts of this machine's CPU, memory and network, read from Linux's `/proc`.
//!
//! ```sh
//! cargo run --example dashboard
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/
//! ```
//!
//! Three topics in one stream, measured once a second for all clients. Only the newest value of each core and each
//! interface counts: new, returning and slow clients receive these, and none of the values before.
//!
//! `PROC` sets another directory to read, for example the host's in a container. The charts are drawn by
//! [uPlot](https://github.com/leeoniya/uPlot), which is beside this file with its license.

mod reading;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse},
    routing::get,
};
use serde::Serialize;
use tokio::{net::TcpListener, time::interval};
use tower_sse::{
    BoxError, Event, SseLayer,
    hub::{Hub, LagPolicy, Retention, Start, Subscribe, Topic},
};

use crate::reading::{Machine, Memory, Reading, Traffic};

/// An event. The variant is its name.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Measured<'a> {
    Cpu {
        time: f64,
        core: &'a str,
        busy: f64,
    },
    Memory {
        time: f64,
        #[serde(flatten)]
        memory: Memory,
    },
    Network {
        time: f64,
        interface: &'a str,
        #[serde(flatten)]
        traffic: Traffic,
    },
}

struct Topics {
    cpu: Topic,
    memory: Topic,
    network: Topic,
}

impl Topics {
    fn of(hub: &Hub) -> Result<Self, BoxError> {
        Ok(Self { cpu: hub.topic("cpu")?, memory: hub.topic("memory")?, network: hub.topic("network")? })
    }

    /// Publishes each value in place of the one before it.
    fn publish(&self, machine: &Machine) -> Result<(), BoxError> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        for (core, &busy) in &machine.cores {
            self.cpu.publish_keyed(&**core, Event::tagged(&Measured::Cpu { time, core, busy })?).try_result()?;
        }
        let memory = Measured::Memory { time, memory: machine.memory };
        self.memory.publish_keyed("memory", Event::tagged(&memory)?).try_result()?;
        for (interface, &traffic) in &machine.interfaces {
            let network = Measured::Network { time, interface, traffic };
            self.network.publish_keyed(&**interface, Event::tagged(&network)?).try_result()?;
        }
        Ok(())
    }

    /// Removes cores and interfaces that have disappeared from the snapshot.
    fn forget(&self, before: &Reading, now: &Reading) {
        before.cores_without(now).for_each(|core| self.cpu.remove_key(core));
        before.interfaces_without(now).for_each(|interface| self.network.remove_key(interface));
    }
}

/// Measures once a second, whether or not there are clients.
async fn measure(proc: &Path, mut before: Reading, topics: &Topics) -> Result<(), BoxError> {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let now = Reading::of(proc)?;
        topics.publish(&now.since(&before))?;
        topics.forget(&before, &now);
        before = now;
    }
}

async fn run() -> Result<(), BoxError> {
    let proc = PathBuf::from(std::env::var_os("PROC").unwrap_or("/proc".into()));
    let first = Reading::of(&proc)?;

    // Only the keyed values are read, never the log.
    let hub = Hub::builder().retention(Retention::new().events(1)).build();
    let topics = Topics::of(&hub)?;
    let live =
        SseLayer::new(hub.service(|_| {
            Subscribe::to_all(["cpu", "memory", "network"]).start(Start::Snapshot).lag(LagPolicy::Conflate)
        }));
    let app = Router::new()
        .route("/", get(Html(include_str!("page.html"))).layer(live))
        .route("/uplot.js", get(|| file("text/javascript", include_str!("uplot/uPlot.iife.min.js"))))
        .route("/uplot.css", get(|| file("text/css", include_str!("uplot/uPlot.min.css"))));

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => Ok(served?),
        measured = measure(&proc, first, &topics) => measured,
    }
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], text)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    eprintln!("dashboard: {error}");
    ExitCode::FAILURE
}
