//! Pairs: a floor, a server, the floor again, so that disturbances of the machine affect both.

use std::{io, time::Instant};

use crate::{
    fleet::{Fleet, Session},
    load,
};

/// The counts of a server in one window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    /// The client was busy nearly all the time: the server may be faster than the figure.
    pub(crate) is_limited: bool,
    /// The share of the window in which the client was busy.
    pub(crate) client: f64,
}

/// All windows of one server.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) values: Vec<f64>,
    /// Returns the ratio to the floor, in the same rounds.
    pub(crate) ratios: Vec<f64>,
    pub(crate) is_limited: bool,
    pub(crate) client: f64,
}

/// The load of the client.
pub(crate) struct Busy {
    busy: f64,
    begun: Instant,
}

impl Busy {
    pub(crate) fn begin() -> Self {
        Self { busy: load::busy_seconds(), begun: Instant::now() }
    }

    pub(crate) fn measured(&self, value: f64) -> Measured {
        let client = (load::busy_seconds() - self.busy) / self.begun.elapsed().as_secs_f64();
        Measured { value, is_limited: client > LIMIT, client }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}

/// Measures all sessions in so many rounds. The first is the floor. A session that fails is listed as missing.
pub(crate) fn paired(
    fleet: &mut Fleet,
    case: &str,
    mut sessions: Vec<Session>,
    rounds: usize,
    mut measure: impl FnMut(&mut Session) -> io::Result<Measured>,
) -> io::Result<Vec<Series>> {
    let mut series: Vec<_> = sessions.iter().map(|session| Series::new(session.server.label())).collect();
    let Some((floor, servers)) = sessions.split_first_mut() else { return Ok(series) };
    let mut is_out = vec![false; servers.len()];
    // The first window warms up.
    measure(floor)?;
    let mut before = measure(floor)?;
    for round in 0..rounds {
        for (at, server) in servers.iter_mut().enumerate() {
            if is_out[at] {
                continue;
            }
            if round == 0 {
                drop(measure(server));
            }
            let measured = match measure(server) {
                Ok(measured) => measured,
                Err(error) => {
                    let label = &series[at + 1].label;
                    eprintln!("{case}: {label}: {error}");
                    fleet.missing.push((format!("{label} in {case}"), error.to_string()));
                    is_out[at] = true;
                    continue;
                }
            };
            let after = measure(floor)?;
            series[at + 1].push(measured, measured.value / f64::midpoint(before.value, after.value));
            series[0].push(after, 1.0);
            before = after;
        }
    }
    series.retain(|series| !series.values.is_empty());
    Ok(series)
}

impl Series {
    pub(crate) fn new(label: String) -> Self {
        Self { label, values: Vec::new(), ratios: Vec::new(), is_limited: false, client: 0.0 }
    }

    pub(crate) fn push(&mut self, measured: Measured, ratio: f64) {
        self.values.push(measured.value);
        self.ratios.push(ratio);
        self.is_limited |= measured.is_limited;
        self.client = self.client.max(measured.client);
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Returns half of the interquartile range.
pub(crate) fn spread(values: &[f64]) -> f64 {
    (quantile(values, 0.75) - quantile(values, 0.25)) / 2.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few values")]
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// A client that is busier than this may be the bottleneck.
const LIMIT: f64 = 0.95;
