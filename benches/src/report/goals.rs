//! The goals, and the measured values.

use std::fmt::Write;

use crate::figure::Figure;

/// A row for each goal of which something was measured.
pub(crate) fn table(figures: &[Figure]) -> String {
    let figures = Figures(figures);
    let mut text = String::from("| case | goal | measured | |\n|---|--:|--:|---|\n");
    for Goal { what, bound, is_least, unit, measure } in GOALS {
        let Some(measured) = measure(&figures) else { continue };
        let (sign, is_reached) = if *is_least { ('≥', measured >= *bound) } else { ('≤', measured <= *bound) };
        let verdict = if is_reached { "reached" } else { "not reached" };
        let [bound, measured] = [*bound, measured].map(|value| written(value, unit));
        let _ = writeln!(text, "| {what} | {sign} {bound} | {measured} | {verdict} |");
    }
    text
}

struct Goal {
    what: &'static str,
    bound: f64,
    is_least: bool,
    unit: &'static str,
    measure: fn(&Figures<'_>) -> Option<f64>,
}

impl Goal {
    const fn at_most(
        what: &'static str,
        bound: f64,
        unit: &'static str,
        measure: fn(&Figures<'_>) -> Option<f64>,
    ) -> Self {
        Self { what, bound, is_least: false, unit, measure }
    }

    const fn at_least(
        what: &'static str,
        bound: f64,
        unit: &'static str,
        measure: fn(&Figures<'_>) -> Option<f64>,
    ) -> Self {
        Self { what, bound, is_least: true, unit, measure }
    }
}

struct Figures<'a>(&'a [Figure]);

impl Figures<'_> {
    fn value(&self, case: &str, server: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.case == case && figure.server == server).map(|figure| figure.value)
    }

    /// This crate to another server, by the pairs of the run.
    fn ratio(&self, case: &str, to: &str) -> Option<f64> {
        self.between(case, "us", to)?.ratio
    }

    fn between(&self, case: &str, server: &str, to: &str) -> Option<&Figure> {
        self.0.iter().find(|figure| figure.case == case && figure.server == server && figure.to == to)
    }

    /// This crate to another server, less the spread.
    fn lowest(&self, case: &str, to: &str) -> Option<f64> {
        let figure = self.between(case, "us", to)?;
        Some(figure.ratio? - figure.spread?)
    }

    /// This crate to the best of the peers, of rates.
    fn rate(&self, case: &str) -> Option<f64> {
        let is_peer = |figure: &&Figure| !["limit", "hyper", "us"].iter().any(|ours| figure.to.starts_with(ours));
        let ours = self.0.iter().filter(|figure| figure.case == case && figure.server == "us").filter(is_peer);
        ours.filter_map(|figure| figure.ratio).reduce(f64::min)
    }

    /// JSON to serde alone.
    fn json(&self, case: &str) -> Option<f64> {
        Some(self.value(case, "us")? / self.value(case, "serde_json::to_writer")?)
    }
}

fn written(value: f64, unit: &str) -> String {
    match unit {
        "M" => format!("{:.2} M events/s", value / 1e6),
        "KB" => format!("{:.1} KB", value / 1e3),
        "%" => format!("{:.1} %", value * 100.0),
        "ns" => format!("{value:.0} ns"),
        unit => format!("{value:.2}{unit}"),
    }
}

const GOALS: &[Goal] = &[
    Goal::at_most("W1, to hyper", 1.08, "", |all| all.ratio("W1", "hyper")),
    Goal::at_most("W16, to hyper", 1.08, "", |all| all.ratio("W16", "hyper")),
    Goal::at_most("ten a second, to hyper, less the spread", 1.08, "", |all| all.lowest("ten a second", "hyper")),
    Goal::at_most("W1, HTTP/2, to hyper", 1.35, "", |all| all.ratio("W1, HTTP/2", "hyper")),
    Goal::at_least("flood, 32 B, to the best peer", 1.0, "", |all| all.rate("flood, 32 B")),
    Goal::at_least("flood, 64 B, to the best peer", 1.0, "", |all| all.rate("flood, 64 B")),
    Goal::at_least("flood, 256 B, to the best peer", 1.0, "", |all| all.rate("flood, 256 B")),
    Goal::at_least("flood, 1 KiB, to the best peer", 1.0, "", |all| all.rate("flood, 1 KiB")),
    Goal::at_least("flood, 4 KiB, to the best peer", 1.0, "", |all| all.rate("flood, 4 KiB")),
    Goal::at_least("flood, 16 KiB, to the best peer", 1.0, "", |all| all.rate("flood, 16 KiB")),
    Goal::at_least("flood, 64 KiB, to the best peer", 1.0, "", |all| all.rate("flood, 64 KiB")),
    Goal::at_least("flood, 256 KiB, to the best peer", 1.0, "", |all| all.rate("flood, 256 KiB")),
    Goal::at_most("connect, to limit-E", 1.15, "", |all| all.ratio("connect", "limit-E")),
    Goal::at_most("encode 64 B", 40.0, "ns", |all| all.value("encode 64 B", "us")),
    Goal::at_most("encode 1 KiB", 50.0, "ns", |all| all.value("encode 1 KiB", "us")),
    Goal::at_most("encode 16 KiB of many lines", 1800.0, "ns", |all| all.value("encode 16 KiB of many lines", "us")),
    Goal::at_most("JSON 64 B, to serde_json::to_writer", 1.1, "", |all| all.json("json 64 B")),
    Goal::at_most("JSON 1 KiB, to serde_json::to_writer", 1.1, "", |all| all.json("json 1 KiB")),
    Goal::at_most("JSON 16 KiB, to serde_json::to_writer", 1.1, "", |all| all.json("json 16 KiB")),
    Goal::at_most("whole server, idle stream, glibc", 12e3, "KB", |all| all.value("memory, 5000 streams", "us")),
    Goal::at_most("whole server, idle stream, jemalloc", 7e3, "KB", |all| {
        all.value("memory, 5000 streams", "us, jemalloc")
    }),
    Goal::at_most("publish, 1 subscriber", 300.0, "ns", |all| all.value("publish, 1 subscribers", "us")),
    Goal::at_most("a browser's request that is not ours, with `Vary`", 150.0, "ns", |all| {
        let case = "accept of a browser, inside";
        Some(all.value(case, "us")? - all.value(case, "no layer")?)
    }),
    Goal::at_least("one stalled of 101: what the others get", 0.98, "%", |all| {
        all.value("stalled, what the others get", "us")
    }),
];
