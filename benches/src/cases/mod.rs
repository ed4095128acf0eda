//! The measured cases.

mod alone;
mod connect;
mod fan_out;
mod flood;
mod latency;
mod memory;
mod replay;
mod stalled;

pub(crate) use alone::publish_cost;

use std::{fs, io, io::Write, time::Duration};

use crate::{
    figure::Figure,
    fleet::{Fleet, Server, Session},
    rounds::{self, Measured},
};

/// The amount of measuring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) is_quick: bool,
}

/// A run of the benchmark, and what it has found so far.
pub(crate) struct Run {
    pub(crate) fleet: Fleet,
    pub(crate) scale: Scale,
    pub(crate) figures: Vec<Figure>,
    results: fs::File,
}

type Case = fn(&mut Run) -> io::Result<()>;

/// By name. Those of one name belong together.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("fan-out", fan_out::one_thread),
    ("all-cores", fan_out::all_cores),
    ("http2", fan_out::http2),
    ("ten", fan_out::ten_a_second),
    ("flood", flood::flood),
    ("connect", connect::connect),
    ("memory", memory::memory),
    ("replay", replay::replay),
    ("stalled", stalled::stalled),
    ("latency", latency::latency),
    ("alone", alone::publish),
    ("alone", alone::micro),
];

impl Run {
    pub(crate) fn new(scale: Scale) -> io::Result<Self> {
        let fleet = Fleet::new()?;
        let results = fs::File::create(fleet.folder.join("latest.json"))?;
        Ok(Self { fleet, scale, figures: Vec::new(), results })
    }

    /// Notes figures and shows them.
    pub(crate) fn add(&mut self, figures: Vec<Figure>) -> io::Result<()> {
        for figure in &figures {
            writeln!(self.results, "{}", figure.line())?;
            println!("{}", figure.line());
        }
        self.figures.extend(figures);
        Ok(())
    }

    /// A case of pairs. `begin` makes a session ready, `measure` is one window.
    fn pairs(
        &mut self,
        case: &str,
        unit: &'static str,
        servers: &[Server],
        begin: impl Fn(&mut Session) -> io::Result<()>,
        measure: impl FnMut(&mut Session) -> io::Result<Measured>,
    ) -> io::Result<()> {
        let mut sessions = Vec::new();
        for mut session in self.fleet.start(servers)? {
            match begin(&mut session) {
                Ok(()) => sessions.push(session),
                Err(error) => self.fleet.note(&[&*format!("{} in {case}", session.server.label())], Err(error)),
            }
        }
        let series = rounds::paired(&mut self.fleet, case, sessions, self.scale.rounds, measure)?;
        self.add(Figure::of(case, unit, &series))
    }
}

fn servers(names: &[&'static str]) -> Vec<Server> {
    names.iter().map(|&name| Server::new(name)).collect()
}
