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

    /// The figures of a case: each server to the first of them, and this crate to the others as well.
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
        for one in &series[1..] {
            for other in series[1..].iter().filter(|other| is_paired(&one.label, &other.label)) {
                let ratios: Vec<_> = one.ratios.iter().zip(&other.ratios).map(|(one, other)| one / other).collect();
                figures.push(Self {
                    to: other.label.clone(),
                    ratio: Some(rounds::median(&ratios)),
                    spread: Some(rounds::spread(&ratios)),
                    ..Self::single(case, &one.label, unit, rounds::median(&one.values))
                });
            }
        }
        figures
    }

    /// Returns `true` if the difference to the other server lies within the spread.
    pub(crate) fn is_within_spread(&self) -> bool {
        let difference = self.ratio.map(|ratio| (ratio - 1.0).abs());
        self.server != self.to && difference.zip(self.spread).is_some_and(|(difference, spread)| difference <= spread)
    }

    pub(crate) fn line(&self) -> String {
        let rounded = |value: f64| (value * 1e4).round() / 1e4;
        json!({
            "case": self.case, "server": self.server, "unit": self.unit, "value": rounded(self.value), "to": self.to,
            "ratio": self.ratio.map(rounded), "spread": self.spread.map(rounded),
            "client": self.client.map(rounded), "limited": self.is_limited,
            "within_spread": self.is_within_spread(),
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

/// Returns `true` if the first server is compared with the second directly: this crate and its variants with all others,
/// a variant of hyper's floor with the floor. Variants of different kinds are not compared, nor is a server with its variant.
fn is_paired(one: &str, other: &str) -> bool {
    if one == "us" || one.starts_with("us-") {
        return one != other && variant(other).is_none_or(|other| variant(one) == Some(other));
    }
    one.starts_with("hyper-") && other == "hyper"
}

/// Returns the variant of a server of ours, `cores` of `us-cores`.
fn variant(name: &str) -> Option<&str> {
    name.strip_prefix("us-").or_else(|| name.strip_prefix("hyper-"))
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
/// Microseconds of the server's CPU for a stream and a second.
pub(crate) const US_PER_STREAM: &str = "µs/stream/s";
/// The share that the others receive, relative to a run in which all clients read.
pub(crate) const PART: &str = "part";
/// Milliseconds.
pub(crate) const MILLISECONDS: &str = "ms";
/// A number of streams, or of times to reconnect.
pub(crate) const COUNT: &str = "in number";
/// Bytes.
pub(crate) const BYTES: &str = "bytes";

const UNITS: [&str; 11] = [
    NS_PER_EVENT,
    US_PER_CONNECTION,
    EVENTS_PER_SECOND,
    BYTES_PER_STREAM,
    MICROSECONDS,
    MILLISECONDS,
    COUNT,
    NS,
    US_PER_STREAM,
    PART,
    BYTES,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn series(label: &str, values: &[f64]) -> Series {
        let (values, ratios) = (values.to_vec(), values.to_vec());
        Series { label: label.to_owned(), values, ratios, is_limited: false, client: 0.0 }
    }

    #[test]
    fn variants_are_compared_with_what_they_vary() {
        let names = ["limit-E", "hyper", "hyper-cores", "us", "us-cores", "axum"];
        let series: Vec<_> = names.iter().map(|name| series(name, &[1.0])).collect();
        let figures = Figure::of("W1", NS, &series);
        // Each to the first comes before.
        let pairs: Vec<_> = figures[names.len()..].iter().map(|figure| (&*figure.server, &*figure.to)).collect();
        let expected = [
            ("hyper-cores", "hyper"),
            ("us", "hyper"),
            ("us", "axum"),
            ("us-cores", "hyper"),
            ("us-cores", "hyper-cores"),
            ("us-cores", "us"),
            ("us-cores", "axum"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn difference_up_to_the_spread_is_marked() {
        let is_marked = |values: &[f64]| {
            let figures = Figure::of("W1", NS, &[series("hyper", &[1.0]), series("us", values)]);
            figures.last().is_some_and(Figure::is_within_spread)
        };
        assert!(is_marked(&[0.9, 1.05, 1.2]), "0.05 from 1, spread 0.075");
        assert!(is_marked(&[0.8, 0.95, 1.1]), "the same below 1");
        assert!(!is_marked(&[1.1, 1.2, 1.3]), "0.2 from 1, spread 0.05");
        assert!(!is_marked(&[0.7, 0.8, 0.9]), "the same below 1");
    }
}
