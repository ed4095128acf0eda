//! From the publish to the client, at half the capacity of the server.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::control::Command;

use super::{Run, servers};
use crate::{
    figure::{Figure, MICROSECONDS},
    fleet::Session,
    rounds,
};

pub(crate) fn latency(run: &mut Run) -> io::Result<()> {
    let names = ["limit-E", "hyper", "us", "axum", "actix", "warp", "salvo", "nchan", "better-sse"];
    let time = run.scale.window * 5;
    let mut sessions = run.fleet.start(&servers(&names))?;
    let mut most = Vec::new();
    for session in &mut sessions {
        session.watch(CLIENTS, SIZE)?;
        most.push(at_most(session, run.scale.window)?);
    }
    let Some(&floor) = most.first() else { return Ok(()) };
    for (session, most) in sessions.iter_mut().zip(most) {
        // Half of its own capacity, and, the same for all, a quarter of the floor's.
        let rates = [(most / 2.0, "half load"), (floor / 4.0, "a quarter of the floor's load")];
        match rates.map(|(rate, name)| at(session, rate, time, name)).into_iter().collect::<io::Result<Vec<_>>>() {
            Ok(figures) => run.add(figures.concat())?,
            // A server that skips events for slow clients has no latency.
            Err(error) => run.fleet.note(&[&*format!("{} in latency", session.server.label())], Err(error)),
        }
    }
    Ok(())
}

fn at(session: &mut Session, rate: f64, time: Duration, name: &str) -> io::Result<Vec<Figure>> {
    let took = open_loop(session, Feed { clients: CLIENTS, rate, time })?;
    let server = session.server.label();
    let quantiles = [("p50", 0.5), ("p99", 0.99)];
    let figures = quantiles.map(|(what, q)| {
        Figure::single(&format!("latency {what}, {name}"), &server, MICROSECONDS, rounds::quantile(&took, q))
    });
    Ok(figures.into())
}

/// Returns the publishes in a second, one after the other.
fn at_most(session: &mut Session, time: Duration) -> io::Result<f64> {
    let (begun, mut publishes) = (Instant::now(), 0);
    while begun.elapsed() < time {
        session.process.publish(Command::new(false, 1, SIZE))?;
        session.load.wait_for(session.process.published[0])?;
        publishes += 1;
    }
    Ok(f64::from(publishes) / begun.elapsed().as_secs_f64())
}

/// The clients of a session, the publishes a second, and the time for which they go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed {
    pub(super) clients: usize,
    pub(super) rate: f64,
    pub(super) time: Duration,
}

/// Publishes at this rate, whether the clients have received the last event or not.
pub(super) fn open_loop(session: &mut Session, feed: Feed) -> io::Result<Vec<f64>> {
    let Feed { clients, rate, time } = feed;
    session.load.tally.sent = Some((session.process.published[0], Vec::new()));
    session.load.tally.took.clear();
    let begun = Instant::now();
    let mut due = begun;
    while begun.elapsed() < time {
        session.load.run_for(due.saturating_duration_since(Instant::now()))?;
        due += Duration::from_secs_f64(1.0 / rate);
        if let Some((_, sent)) = &mut session.load.tally.sent {
            sent.push(Instant::now());
        }
        session.process.publish(Command::new(false, 1, SIZE))?;
    }
    let all = session.load.tally.sent.as_ref().map_or(0, |(_, sent)| sent.len() * clients);
    session.load.run_until(Duration::from_secs(10), |tally| tally.took.len() >= all)?;
    session.load.tally.sent = None;
    Ok(session.load.tally.took.iter().map(|&took| f64::from(took)).collect())
}

const CLIENTS: usize = 1000;
const SIZE: usize = 64;
