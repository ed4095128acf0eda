//! A hundred clients read, and one does not.

use std::{io, time::Duration};

use crate::control::Command;

use super::{Run, servers};
use crate::{
    figure::{BYTES, Figure, PART},
    fleet::Session,
    load::{Ask, Expect, Load},
    rounds::{Busy, Measured, Series},
};

pub(crate) fn stalled(run: &mut Run) -> io::Result<()> {
    let names = ["us", "axum", "actix", "warp", "salvo", "nchan", "better-sse"];
    for server in servers(&names) {
        for mut session in run.fleet.start(&[server])? {
            let (rounds, time) = (run.scale.rounds, run.scale.window * 2);
            match measure(&mut session, rounds, time) {
                Ok(figures) => run.add(figures)?,
                Err(error) => run.fleet.note(&[&*format!("{} in stalled", server.label())], Err(error)),
            }
        }
    }
    Ok(())
}

fn measure(session: &mut Session, rounds: usize, time: Duration) -> io::Result<Vec<Figure>> {
    session.watch(HEALTHY, SIZE)?;
    window(session, time)?;
    let mut series = Series::new(session.server.label());
    let memory = session.process.memory()?;
    let mut grown = 0;
    for _ in 0..rounds {
        let before = window(session, time)?;
        let mut stalled = Load::new(session.address())?;
        stalled.open(1, Ask { target: "/events", expect: Expect::Any, streams: None })?;
        let with = window(session, time)?;
        grown = grown.max(session.process.memory()?.saturating_sub(memory));
        drop(stalled);
        let after = window(session, time)?;
        series.push(with, with.value / f64::midpoint(before.value, after.value));
    }
    let (label, part) = (&series.label, crate::rounds::median(&series.ratios));
    let spread = Some(crate::rounds::spread(&series.ratios));
    #[expect(clippy::cast_precision_loss, reason = "bytes are enough")]
    let grown = grown as f64;
    Ok(vec![
        Figure { spread, ..Figure::single("stalled, what the others get", label, PART, part) },
        Figure::single("stalled, memory grown", label, BYTES, grown),
    ])
}

/// Returns the events a second that the readers receive.
fn window(session: &mut Session, time: Duration) -> io::Result<Measured> {
    let (busy, events) = (Busy::begin(), session.load.tally.events);
    while busy.seconds() < time.as_secs_f64() {
        session.process.publish(Command::new(false, BATCH, SIZE))?;
        session.load.wait_for(session.process.published[0])?;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let value = (session.load.tally.events - events) as f64 / busy.seconds();
    Ok(busy.measured(value))
}

const HEALTHY: usize = 100;
const BATCH: u64 = 16;
const SIZE: usize = 1024;
