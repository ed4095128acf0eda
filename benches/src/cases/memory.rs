//! Streams that are open and idle.

use std::{io, thread, time::Duration};

use super::{Run, servers};
use crate::{
    figure::{BYTES_PER_STREAM, Figure},
    fleet::{Server, Session},
    limits,
};

/// 5,000 streams of all servers, and 20,000 of some, or as many as the limit of descriptors allows.
pub(crate) fn memory(run: &mut Run) -> io::Result<()> {
    let mut all = servers(&["limit-E", "hyper", "us", "axum", "actix", "warp", "salvo", "nchan", "better-sse"]);
    let jemalloc = servers(&["hyper", "us", "axum"]).into_iter().map(|server| Server { jemalloc: true, ..server });
    all.extend(jemalloc);
    measure(run, 5_000, &all)?;
    // A few descriptors are needed for other purposes.
    let many = u32::try_from(limits::descriptors()?.min(21_000)).unwrap_or(0).saturating_sub(1_000);
    let few: Vec<_> =
        all.into_iter().filter(|server| ["limit-E", "hyper", "us", "axum"].contains(&server.name)).collect();
    measure(run, many, &few)
}

fn measure(run: &mut Run, streams: u32, servers: &[Server]) -> io::Result<()> {
    let case = format!("memory, {streams} streams");
    for &server in servers {
        // One after the other: there are not enough ports.
        for mut session in run.fleet.start(&[server])? {
            match idle(&mut session, streams) {
                Ok(bytes) => run.add(vec![Figure::single(&case, &server.label(), BYTES_PER_STREAM, bytes)])?,
                Err(error) => run.fleet.note(&[&*format!("{} in {case}", server.label())], Err(error)),
            }
        }
    }
    Ok(())
}

fn idle(session: &mut Session, streams: u32) -> io::Result<f64> {
    // Memory that the first client initialises is not the stream's.
    session.watch(1, 64)?;
    thread::sleep(SETTLED);
    let before = session.process.memory()?;
    session.watch(streams as usize, 64)?;
    thread::sleep(SETTLED);
    let grown = session.process.memory()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "bytes are enough")]
    let each = grown as f64 / f64::from(streams);
    Ok(each)
}

const SETTLED: Duration = Duration::from_millis(300);
