//! A client connects, receives its first event, and leaves.

use std::io;

use crate::control::Command;

use super::{Run, servers};
use crate::{
    figure::US_PER_CONNECTION,
    fleet::Session,
    load::{Ask, Expect},
    rounds::Busy,
};

pub(crate) fn connect(run: &mut Run) -> io::Result<()> {
    let lots = if run.scale.is_quick { 20 } else { 60 };
    let names = ["limit-E", "hyper", "us", "axum", "actix", "warp", "salvo", "nchan", "better-sse"];
    let begin = |session: &mut Session| {
        session.process.publish(Command::new(true, u64::from(session.server.name == "nchan"), 64))
    };
    run.pairs("connect", US_PER_CONNECTION, &servers(&names), begin, |session| {
        let target = match session.server.name {
            // Its own first event.
            "us" => "/events",
            "nchan" => "/log",
            _ => "/first",
        };
        let (cpu, busy) = (session.process.cpu()?, Busy::begin());
        for _ in 0..lots {
            session.load.open(AT_ONCE, Ask { target, expect: Expect::Any, streams: None })?;
            session.load.run_until(std::time::Duration::from_secs(10), |tally| tally.events >= AT_ONCE as u64)?;
            session.load.close();
        }
        let cpu = session.process.cpu()?.saturating_sub(cpu);
        Ok(busy.measured(cpu.as_secs_f64() * 1e6 / f64::from(lots) / AT_ONCE as f64))
    })
}

const AT_ONCE: usize = 16;
