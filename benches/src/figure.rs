//! One result.

use std::{fs, io, path::Path};

use serde_json::{Value, json};

use crate::rounds::{self, Series};

/// A measurement of a server in a case.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) case: String,
    pub(crate) server: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// To which floor the ratio is.
    pub(crate) to: String,
    pub(crate) ratio: Option<f64>,
    pub(crate) spread: Option<f64>,
    /// The largest load of the client, from 0 to 1.
    pub(crate) client: Option<f64>,
    pub(crate) is_limited: bool,
}

impl Figure {
    /// One that stands by itself.
    pub(crate) fn single(case: &str, server: &str, unit: &'static str, value: f64) -> Self {
        let (case, server, to) = (case.to_owned(), server.to_owned(), String::new());
        Self { case, server, unit, value, to, ratio: None, spread: None, client: None, is_limited: false }
    }

    /// The figures of a case: each server to the first of them, and this crate to each other floor as well.
    pub(crate) fn of(case: &str, unit: &'static str, series: &[Series]) -> Vec<Self> {
        let Some(floor) = series.first() else { return Vec::new() };
        let mut figures: Vec<_> = series
            .iter()
            .map(|one| Self {
                to: floor.label.clone(),
                ratio: Some(rounds::median(&one.ratios)),
                spread: Some(rounds::spread(&one.ratios)),
                client: Some(one.client),
                is_limited: one.is_limited,
                ..Self::single(case, &one.label, unit, rounds::median(&one.values))
            })
            .collect();
        let find = |label: &str| series.iter().find(|series| series.label == label);
        if let Some(us) = find("us") {
            for other in series[1..].iter().filter(|other| other.label != "us") {
                let ratios: Vec<_> = us.ratios.iter().zip(&other.ratios).map(|(us, other)| us / other).collect();
                figures.push(Self {
                    to: other.label.clone(),
                    ratio: Some(rounds::median(&ratios)),
                    spread: Some(rounds::spread(&ratios)),
                    ..Self::single(case, "us", unit, rounds::median(&us.values))
                });
            }
        }
        figures
    }

    pub(crate) fn line(&self) -> String {
        let rounded = |value: f64| (value * 1e4).round() / 1e4;
        json!({
            "case": self.case, "server": self.server, "unit": self.unit, "value": rounded(self.value), "to": self.to,
            "ratio": self.ratio.map(rounded), "spread": self.spread.map(rounded),
            "client": self.client.map(rounded), "limited": self.is_limited,
        })
        .to_string()
    }

    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let unit = UNITS.into_iter().find(|&unit| value["unit"] == unit)?;
        Some(Self {
            case: text("case")?,
            server: text("server")?,
            unit,
            value: value["value"].as_f64()?,
            to: text("to")?,
            ratio: value["ratio"].as_f64(),
            spread: value["spread"].as_f64(),
            client: value["client"].as_f64(),
            is_limited: value["limited"] == true,
        })
    }
}

/// Reads the figures of an earlier run.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Figure>> {
    Ok(fs::read_to_string(path)?.lines().filter_map(Figure::parse).collect())
}

/// Nanoseconds of the server's CPU for an event that was delivered.
pub(crate) const NS_PER_EVENT: &str = "ns/event";
/// Microseconds of the server's CPU for a connection.
pub(crate) const US_PER_CONNECTION: &str = "µs/connection";
/// Events that one client got in a second.
pub(crate) const EVENTS_PER_SECOND: &str = "events/s";
/// Bytes of the server's memory for a stream.
pub(crate) const BYTES_PER_STREAM: &str = "bytes/stream";
/// Microseconds from the publish to the client.
pub(crate) const MICROSECONDS: &str = "µs";
/// Nanoseconds of a call.
pub(crate) const NS: &str = "ns";
/// The share that the others receive, relative to a run in which all clients read.
pub(crate) const PART: &str = "part";
/// Bytes.
pub(crate) const BYTES: &str = "bytes";

const UNITS: [&str; 8] =
    [NS_PER_EVENT, US_PER_CONNECTION, EVENTS_PER_SECOND, BYTES_PER_STREAM, MICROSECONDS, NS, PART, BYTES];
