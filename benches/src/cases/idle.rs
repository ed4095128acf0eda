//! Streams that are open and have heartbeats, and nothing else.

use std::{io, time::Duration};

use super::Run;
use crate::{
    figure::{Figure, US_PER_STREAM},
    fleet::{Server, Session},
    load::{Ask, Expect},
    rounds::{self, Busy, Measured, Series},
};

/// A server, the name of its figures, and its target with heartbeats at an interval.
type Beating = (&'static str, &'static str, fn(u64) -> String);

const SERVERS: &[Beating] = &[
    ("hyper", "hyper, a timer each", |ms| format!("/beat?ms={ms}")),
    ("us", "us", |ms| format!("/beat?ms={ms}")),
    ("hyper", SILENT, |_| "/events".to_owned()),
];

const SILENT: &str = "hyper, no heartbeats";

/// 10,000 streams: at the default interval of heartbeats, and at a tenth of it, which gives more windows in the same time.
pub(crate) fn idle(run: &mut Run) -> io::Result<()> {
    let intervals: &[u64] = if run.scale.is_quick { &[1_500] } else { &[15_000, 1_500] };
    for http2 in [false, true] {
        for &ms in intervals {
            let protocol = if http2 { ", HTTP/2" } else { "" };
            measure(run, &format!("heartbeats of {} s{protocol}", Duration::from_millis(ms).as_secs_f64()), ms, http2)?;
        }
    }
    Ok(())
}

fn measure(run: &mut Run, case: &str, ms: u64, http2: bool) -> io::Result<()> {
    let windows = if ms < 10_000 { run.scale.rounds } else { 2 };
    let mut all: Vec<Series> = Vec::new();
    for &(name, label, target) in SERVERS {
        // One after the other: ports are not so many.
        for mut session in run.fleet.start(&[Server { http2, ..Server::new(name) }])? {
            match measure_one(&mut session, &target(ms), windows, ms) {
                // A ratio to nothing says nothing.
                Ok((measured, _)) if label == SILENT => {
                    let values: Vec<_> = measured.iter().map(|measured| measured.value).collect();
                    run.add(vec![Figure::single(case, label, US_PER_STREAM, rounds::median(&values))])?;
                }
                // Those of this crate come after four fifths of the interval, or later.
                Ok((_, beats)) if !(0.9..1.3).contains(&beats) => {
                    let error = format!("{beats:.2} heartbeats of a stream in an interval");
                    run.fleet.note(&[&*format!("{label} in {case}")], Err(io::Error::other(error)));
                }
                Ok((measured, _)) => all.push(series(label, measured, all.first())),
                Err(error) => run.fleet.note(&[&*format!("{label} in {case}")], Err(error)),
            }
        }
    }
    run.add(Figure::of(case, US_PER_STREAM, &all))
}

/// Measures so many windows of one interval, after a while in which the heartbeats spread. Returns also how many a stream had
/// in each.
fn measure_one(session: &mut Session, target: &str, windows: usize, ms: u64) -> io::Result<(Vec<Measured>, f64)> {
    let in_one = session.server.http2.then_some(100);
    session.load.open(STREAMS, Ask { target, expect: Expect::Any, streams: in_one })?;
    session.load.run_for(SETTLED)?;
    let (time, before) = (Duration::from_millis(ms), session.load.tally.comments);
    let mut measured = Vec::new();
    for _ in 0..windows {
        let (cpu, busy) = (session.process.cpu()?, Busy::begin());
        session.load.run_for(time)?;
        let cpu = session.process.cpu()?.saturating_sub(cpu);
        measured.push(busy.measured(cpu.as_secs_f64() * 1e6 / time.as_secs_f64() / STREAMS as f64));
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let beats = (session.load.tally.comments - before) as f64 / (windows * STREAMS) as f64;
    Ok((measured, beats))
}

/// Returns the series of a server, in relation to the windows of the first one.
fn series(label: &str, measured: Vec<Measured>, first: Option<&Series>) -> Series {
    let mut series = Series::new(label.to_owned());
    for (at, measured) in measured.into_iter().enumerate() {
        let base = first.and_then(|first| first.values.get(at)).unwrap_or(&measured.value);
        series.push(measured, measured.value / base);
    }
    series
}

const STREAMS: usize = 10_000;

/// As long as the jitter of several shorter intervals, or of one of the default, takes to spread the streams.
const SETTLED: Duration = Duration::from_secs(15);
