//! As many streams as a process may have: an event to all, memory, a drain, and their return.

use std::{
    collections::BTreeSet,
    fs, io, thread,
    time::{Duration, Instant},
};

use super::{Run, servers};
use crate::{
    control::Command,
    figure::{BYTES, BYTES_PER_STREAM, COUNT, Figure, MILLISECONDS, US_PER_CONNECTION},
    fleet::{Server, Session},
    limits,
    load::{Ask, Expect},
    rounds,
};

/// 19,000 over HTTP/1.1, or as many as there may be descriptors, and 50,000 over HTTP/2, a hundred in a connection.
pub(crate) fn many(run: &mut Run) -> io::Result<()> {
    let most = usize::try_from(limits::descriptors()?).unwrap_or(usize::MAX).saturating_sub(1_000);
    let http1 = servers(&["us-streams", "axum-graceful", "nchan"]);
    let http2 = servers(&["us-streams", "axum-graceful"]).into_iter().map(|server| Server { http2: true, ..server });
    for server in http1 {
        measure(run, server, most.min(19_000), "HTTP/1.1")?;
    }
    for server in http2 {
        measure(run, server, 50_000, "HTTP/2")?;
    }
    Ok(())
}

fn measure(run: &mut Run, server: Server, streams: usize, version: &str) -> io::Result<()> {
    let case = format!("many, {streams} over {version}");
    let rounds = if run.scale.is_quick { 1 } else { 3 };
    let mut found = Found::default();
    for _ in 0..rounds {
        if let Err(error) = whole(run, server, streams, &mut found) {
            run.fleet.note(&[&*format!("{} in {case}", server.label())], Err(error));
            break;
        }
    }
    let figure = |(name, unit, values): &(String, &'static str, Vec<f64>)| {
        let median = rounds::median(values);
        Figure {
            spread: (values.len() > 1 && median > 0.0).then(|| rounds::spread(values) / median),
            ..Figure::single(&format!("{case}: {name}"), &server.label(), unit, median)
        }
    };
    run.add(found.0.iter().map(figure).collect())
}

/// Measures the life of a process, and the return of its clients to another one.
fn whole(run: &mut Run, server: Server, streams: usize, found: &mut Found) -> io::Result<()> {
    let Some(mut session) = run.fleet.start(&[server])?.pop() else { return Ok(()) };
    open(&mut session, streams, found)?;
    let retries = if server.name == "nchan" { Vec::new() } else { drain(&mut session, streams, found)? };
    session.load.close();
    drop(session);
    // A client that was not told when to return does so with the spread of this crate's default.
    let evenly = (0..streams).map(|stream| SPREAD.mul_f64(count(stream) / count(streams)));
    let earliest = retries.iter().min().copied().unwrap_or_default();
    let spread: Vec<_> = match retries.len() == streams {
        true => retries.iter().map(|&retry| retry.saturating_sub(earliest)).collect(),
        false => evenly.collect(),
    };
    storm(run, server, &vec![Duration::ZERO; streams], "return at once", found)?;
    storm(run, server, &spread, "return within 5 s", found)
}

fn open(session: &mut Session, streams: usize, found: &mut Found) -> io::Result<()> {
    warm(session)?;
    let (before, kernel, begun) = (session.process.memory()?, kernel()?, Instant::now());
    session.watch(streams, 64)?;
    found.add("all open", MILLISECONDS, milliseconds(begun.elapsed()));
    let cpu = session.process.cpu()?;
    for _ in 0..EVENTS {
        let number = session.process.published[0];
        session.load.tally.sent = Some((number, vec![Instant::now()]));
        session.process.publish(Command::new(false, 1, 64))?;
        session.load.wait_for(number + 1)?;
    }
    let cpu = session.process.cpu()?.saturating_sub(cpu) / EVENTS;
    found.add("an event to all, CPU", MILLISECONDS, milliseconds(cpu));
    found.times("an event to all", &std::mem::take(&mut session.load.tally.took));
    thread::sleep(SETTLED);
    let (memory, kernel) = (session.process.memory()?.saturating_sub(before), self::kernel()?.saturating_sub(kernel));
    found.add("memory", BYTES_PER_STREAM, bytes(memory) / count(streams));
    // Of few connections it is less than what the kernel's memory varies by.
    if !session.server.http2 {
        found.add("memory of the kernel, both ends", BYTES_PER_STREAM, bytes(kernel) / count(streams));
    }
    Ok(())
}

/// Ends the process as a deploy does, and returns when the clients were told to return.
fn drain(session: &mut Session, streams: usize, found: &mut Found) -> io::Result<Vec<Duration>> {
    session.load.tally.crowd.may_end = true;
    let (cpu, begun) = (session.process.cpu()?, Instant::now());
    session.process.terminate()?;
    // An error means that it takes longer: the streams that have ended are counted below.
    let _ = session.load.run_until(AT_MOST, |tally| tally.crowd.ended.len() + tally.crowd.cut >= streams);
    let cpu = session.process.cpu()?.saturating_sub(cpu);
    let crowd = std::mem::take(&mut session.load.tally.crowd);
    found.add("ended cleanly, 10 s after SIGTERM", COUNT, count(crowd.ended.len()));
    found.add("cut, 10 s after SIGTERM", COUNT, count(crowd.cut));
    let open = streams.saturating_sub(crowd.ended.len() + crowd.cut);
    found.add("still open, 10 s after SIGTERM", COUNT, count(open));
    if crowd.ended.is_empty() {
        return Ok(Vec::new());
    }
    let took = |ended: &(Instant, _)| u32::try_from((ended.0 - begun).as_micros()).unwrap_or(u32::MAX);
    found.times("drain", &crowd.ended.iter().map(took).collect::<Vec<_>>());
    found.add("drain, CPU", MILLISECONDS, milliseconds(cpu));
    if session.process.ends_within(AT_MOST)? {
        found.add("drain, exit", MILLISECONDS, milliseconds(begun.elapsed()));
    }
    let retries: Vec<_> = crowd.ended.iter().filter_map(|ended| ended.1).collect();
    let different: BTreeSet<_> = retries.iter().collect();
    for (name, retry) in [("retry, shortest", different.first()), ("retry, longest", different.last())] {
        found.add(name, MILLISECONDS, retry.map_or(f64::NAN, |&&retry| f64::from(retry)));
    }
    found.add("retry, different values", COUNT, count(different.len()));
    Ok(retries.into_iter().map(|retry| Duration::from_millis(retry.into())).collect())
}

/// Opens all streams to a process that has just started, each after its delay, and closes them. The process is a new one,
/// since there are too few ports to connect to the same one twice within a minute.
fn storm(run: &mut Run, server: Server, after: &[Duration], name: &str, found: &mut Found) -> io::Result<()> {
    let Some(mut session) = run.fleet.start(&[server])?.pop() else { return Ok(()) };
    if server.name == "nchan" {
        session.process.publish(Command::new(true, 1, 64))?;
    }
    warm(&mut session)?;
    let before = session.process.memory()?;
    let target = match session.server.name {
        "nchan" => "/log",
        "axum-graceful" => "/first",
        _ => "/events",
    };
    let streams = session.server.http2.then_some(100);
    let (cpu, overflows, begun) = (session.process.cpu()?, overflows()?, Instant::now());
    session.load.storm(after, Ask { target, expect: Expect::Any, streams })?;
    let (took, cpu) = (begun.elapsed(), session.process.cpu()?.saturating_sub(cpu));
    let crowd = std::mem::take(&mut session.load.tally.crowd);
    let without = after.len().saturating_sub(crowd.firsts.len() + crowd.refused);
    if without == 0 {
        found.add(&format!("{name}, all have an event"), MILLISECONDS, milliseconds(took));
    }
    found.add(&format!("{name}, without an event after 30 s"), COUNT, count(without));
    found.add(&format!("{name}, CPU"), US_PER_CONNECTION, cpu.as_secs_f64() * 1e6 / count(after.len()));
    found.times(&format!("{name}, connect to first event"), &crowd.firsts);
    found.add(&format!("{name}, refused or reset"), COUNT, count(crowd.refused));
    let overflows = self::overflows()?.saturating_sub(overflows);
    found.add(&format!("{name}, times that the queue of connections was full"), COUNT, bytes(overflows));
    session.load.close();
    idle(&session)?;
    let left = session.process.memory()?.saturating_sub(before);
    found.add(&format!("{name}, memory left when all have gone"), BYTES, bytes(left));
    Ok(())
}

/// Waits until the process has nothing to do.
fn idle(session: &Session) -> io::Result<()> {
    for _ in 0..20 {
        let before = session.process.cpu()?;
        thread::sleep(SETTLED);
        if session.process.cpu()?.saturating_sub(before) < Duration::from_millis(3) {
            break;
        }
    }
    Ok(())
}

/// Opens and closes first streams, since these allocate memory that is not a stream's.
fn warm(session: &mut Session) -> io::Result<()> {
    session.watch(if session.server.http2 { 100 } else { 1 }, 64)?;
    session.load.close();
    thread::sleep(SETTLED);
    Ok(())
}

/// The values of each figure, in the order in which they were found.
#[derive(Debug, Default)]
struct Found(Vec<(String, &'static str, Vec<f64>)>);

impl Found {
    fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|found| found.0 == name) {
            Some(found) => found.2.push(value),
            None => self.0.push((name.to_owned(), unit, vec![value])),
        }
    }

    /// Adds quantiles of times in microseconds.
    fn times(&mut self, name: &str, times: &[u32]) {
        let times: Vec<_> = times.iter().map(|&time| f64::from(time) / 1e3).collect();
        for (which, q) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            self.add(&format!("{name}, {which}"), MILLISECONDS, rounds::quantile(&times, q));
        }
    }
}

/// Returns the memory of the kernel for its objects, such as sockets and descriptors, in bytes.
fn kernel() -> io::Result<u64> {
    let info = fs::read_to_string("/proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("Slab:")).unwrap_or_default();
    Ok(line.split_ascii_whitespace().next().and_then(|size| size.parse::<u64>().ok()).unwrap_or(0) * 1024)
}

/// Returns the number of connections that found the queue of a listening socket full, of the whole machine since its start.
fn overflows() -> io::Result<u64> {
    let netstat = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut both = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
    Ok(both.find(|both| both.0 == "ListenOverflows").and_then(|both| both.1.parse().ok()).unwrap_or(0))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "far below the limit")]
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_precision_loss, reason = "far below the limit")]
fn count(count: usize) -> f64 {
    count as f64
}

/// The number of events sent to all, one after the other.
const EVENTS: u32 = 10;

const SETTLED: Duration = Duration::from_millis(300);

/// The time that a process is given to end its streams.
const AT_MOST: Duration = Duration::from_secs(10);

/// The crate's default.
const SPREAD: Duration = Duration::from_secs(5);
