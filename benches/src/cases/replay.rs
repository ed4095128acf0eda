//! A hundred clients connect, and each receives the whole log.

use std::{io, time::Duration};

use crate::control::Command;

use super::{Run, fan_out, servers};
use crate::{
    figure::NS_PER_EVENT,
    fleet::Session,
    load::{Ask, Expect},
};

pub(crate) fn replay(run: &mut Run) -> io::Result<()> {
    let names = ["limit-B", "hyper", "us", "nchan"];
    run.pairs("replay", NS_PER_EVENT, &servers(&names), fill, |session| {
        let measured = fan_out::window(session, |session| {
            let expect = Expect::From { number: 0, size: SIZE };
            session.load.open(CLIENTS, Ask { target: "/log", expect, streams: None })?;
            session.load.run_until(Duration::from_secs(30), |tally| tally.events >= CLIENTS as u64 * EVENTS)
        })?;
        session.load.close();
        Ok(measured)
    })
}

fn fill(session: &mut Session) -> io::Result<()> {
    for _ in 0..EVENTS / IN_ONE {
        session.process.publish(Command::new(true, IN_ONE, SIZE))?;
    }
    Ok(())
}

const CLIENTS: usize = 100;
const EVENTS: u64 = 10_000;
const IN_ONE: u64 = 100;
const SIZE: usize = 64;
