//! One topic, a thousand clients.

use std::{io, time::Duration};

use crate::control::Command;

use super::{Run, servers};
use crate::{
    figure::NS_PER_EVENT,
    fleet::{Server, Session},
    rounds::{Busy, Measured},
};

const CLIENTS: usize = 1000;
const SIZE: usize = 64;
const EVERYBODY: [&str; 11] =
    ["limit-E", "limit-B", "hyper", "us", "us-vectored", "axum", "actix", "warp", "salvo", "nchan", "better-sse"];

/// One event at a time, and sixteen in one publish.
pub(crate) fn one_thread(run: &mut Run) -> io::Result<()> {
    measure(run, "W1", 1, &servers(&EVERYBODY))?;
    measure(run, "W16", 16, &servers(&EVERYBODY))
}

/// The same with two workers that share their work, and, as `-cores`, with two runtimes that do not.
pub(crate) fn all_cores(run: &mut Run) -> io::Result<()> {
    let names = servers(&["limit-E", "hyper", "hyper-cores", "us", "us-cores", "axum", "actix", "warp", "salvo"]);
    let all_cores: Vec<_> = names.into_iter().map(|server| Server { all_cores: true, ..server }).collect();
    measure(run, "W1, all cores", 1, &all_cores)?;
    measure(run, "W16, all cores", 16, &all_cores)
}

/// A hundred streams in each connection.
pub(crate) fn http2(run: &mut Run) -> io::Result<()> {
    let http2 = servers(&["hyper", "us", "axum"]).into_iter().map(|server| Server { http2: true, ..server });
    let http2: Vec<_> = http2.collect();
    measure(run, "W1, HTTP/2", 1, &http2)?;
    measure(run, "W16, HTTP/2", 16, &http2)
}

/// Measures a low rate, at which caches are cold from one event to the next.
pub(crate) fn ten_a_second(run: &mut Run) -> io::Result<()> {
    let names: &[_] = if run.scale.is_quick { &["limit-E", "hyper", "us", "axum"] } else { &EVERYBODY };
    let events = if run.scale.is_quick { 5 } else { 10 };
    run.pairs("ten a second", NS_PER_EVENT, &servers(names), watch, |session| {
        lead_in(session, 1)?;
        window(session, |session| {
            for _ in 0..events {
                publish(session, 1)?;
                session.load.run_for(Duration::from_millis(100))?;
            }
            Ok(())
        })
    })
}

fn measure(run: &mut Run, case: &str, batch: u64, servers: &[Server]) -> io::Result<()> {
    let time = run.scale.window.as_secs_f64();
    run.pairs(case, NS_PER_EVENT, servers, watch, |session| {
        lead_in(session, batch)?;
        window(session, |session| publish_for(session, batch, time))
    })
}

/// After a pause, TCP acknowledges the next sixteen segments one by one, which costs the sender as much as to send them.
/// The floor, whose turn comes more often than others', has no such pauses. So the first do not count.
fn lead_in(session: &mut Session, batch: u64) -> io::Result<()> {
    // These write each event by itself.
    let is_single = matches!(session.server.name, "limit-E" | "nchan");
    let publishes = if is_single { 24_u64.div_ceil(batch) } else { 24 };
    (0..publishes).try_for_each(|_| publish(session, batch))
}

fn publish_for(session: &mut Session, batch: u64, seconds: f64) -> io::Result<()> {
    let busy = Busy::begin();
    while busy.seconds() < seconds {
        publish(session, batch)?;
    }
    Ok(())
}

fn watch(session: &mut Session) -> io::Result<()> {
    session.watch(CLIENTS, SIZE)
}

/// Publishes, and waits until all clients have it.
fn publish(session: &mut Session, batch: u64) -> io::Result<()> {
    session.process.publish(Command::new(false, batch, SIZE))?;
    session.load.wait_for(session.process.published[0])
}

/// The CPU of the server for each event that was delivered meanwhile.
pub(super) fn window(session: &mut Session, run: impl FnOnce(&mut Session) -> io::Result<()>) -> io::Result<Measured> {
    let (cpu, events, busy) = (session.process.cpu()?, session.load.tally.events, Busy::begin());
    run(session)?;
    let cpu = session.process.cpu()?.saturating_sub(cpu);
    let events = session.load.tally.events - events;
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let value = cpu.as_secs_f64() * 1e9 / events as f64;
    Ok(busy.measured(value))
}
