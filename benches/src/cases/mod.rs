//! The measured cases.

mod alone;
mod connect;
mod fan_out;
mod flood;
mod idle;
mod latency;
mod linger;
mod many;
mod memory;
mod replay;
mod stalled;

pub(crate) use alone::publish_cost;

use std::{
    fs, io,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    figure::Figure,
    fleet::{Fleet, Server, Session},
    machine, report,
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
    /// The figures of the current group.
    results: Option<fs::File>,
}

pub(crate) type Case = fn(&mut Run) -> io::Result<()>;

/// The groups of cases, by name.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("fan-out", fan_out::one_thread),
    ("all-cores", fan_out::all_cores),
    ("http2", fan_out::http2),
    ("ten", fan_out::ten_a_second),
    ("flood", flood::flood),
    ("connect", connect::connect),
    ("memory", memory::memory),
    ("many", many::many),
    ("idle", idle::idle),
    ("replay", replay::replay),
    ("stalled", stalled::stalled),
    ("latency", latency::latency),
    ("linger", linger::linger),
    ("alone", alone::alone),
];

impl Run {
    pub(crate) fn new(scale: Scale) -> io::Result<Self> {
        let run = Self { fleet: Fleet::new()?, scale, figures: Vec::new(), results: None };
        fs::create_dir_all(run.results_folder())?;
        Ok(run)
    }

    /// Measures a group. Its figures replace those of its last run once it is finished.
    pub(crate) fn group(&mut self, name: &str, case: Case, missing_before: usize) -> io::Result<()> {
        let (path, partial) =
            (self.results_folder().join(format!("{name}.json")), self.fleet.folder.join("partial.json"));
        self.results = Some(fs::File::create(&partial)?);
        let (begun, first) = (Instant::now(), self.fleet.missing.len());
        let done = case(self);
        self.fleet.note(&[name], done);
        let took = begun.elapsed();
        eprintln!("{name}: {} min {} s", took.as_secs() / 60, took.as_secs() % 60);
        let missing = [&self.fleet.missing[..missing_before], &self.fleet.missing[first..]].concat();
        fs::rename(partial, path)?;
        machine::note(self, name, &missing, took)
    }

    /// Returns the folder of the results of runs of this scale.
    pub(crate) fn results_folder(&self) -> PathBuf {
        self.fleet.folder.join(if self.scale.is_quick { report::QUICK } else { report::RESULTS })
    }

    /// Notes figures and shows them.
    pub(crate) fn add(&mut self, figures: Vec<Figure>) -> io::Result<()> {
        for figure in &figures {
            if let Some(results) = &mut self.results {
                writeln!(results, "{}", figure.line())?;
            }
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
