//! A thousand publishes a second to a hundred clients: the CPU for each event, and the time until it arrives.

use std::{collections::BTreeMap, io};

use super::{
    Run, fan_out,
    latency::{self, Feed},
    servers,
};
use crate::{
    figure::{Figure, MICROSECONDS, NS_PER_EVENT},
    rounds,
};

/// Measures all servers, and, as `us-linger`, topics that gather events for 5 ms.
pub(crate) fn linger(run: &mut Run) -> io::Result<()> {
    let names = ["limit-E", "hyper", "us", "us-linger", "axum", "actix", "warp", "salvo"];
    let feed = Feed { clients: CLIENTS, rate: RATE, time: run.scale.window };
    let mut took = BTreeMap::<String, Vec<f64>>::new();
    run.pairs(
        CASE,
        NS_PER_EVENT,
        &servers(&names),
        |session| session.watch(CLIENTS, SIZE),
        |session| {
            let all = took.entry(session.server.label()).or_default();
            fan_out::window(session, |session| latency::open_loop(session, feed).map(|took| all.extend(took)))
        },
    )?;
    let quantiles = [("p50", 0.5), ("p99", 0.99)];
    let figures = took.iter().flat_map(|(server, took)| {
        let figure =
            |(what, q)| Figure::single(&format!("{what}, {CASE}"), server, MICROSECONDS, rounds::quantile(took, q));
        quantiles.map(figure)
    });
    run.add(figures.collect())
}

const CASE: &str = "1,000 a second";
const CLIENTS: usize = 100;
const RATE: f64 = 1000.0;
const SIZE: usize = 64;
