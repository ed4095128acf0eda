//! Figures as tables, a row for each server.

use std::fmt::Write;

use serde_json::Value;

use super::goals;
use crate::figure::{self, Figure};

/// All of them, after a word on the machine.
pub(crate) fn tables(figures: &[Figure], machine: &Value) -> String {
    let mut text = String::new();
    let list = |key: &str| {
        let values = machine[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        values.collect::<Vec<_>>()
    };
    let word = |key: &str| machine[key].as_str().unwrap_or("unknown");
    let _ = writeln!(text, "Measured on {}, by `{}`,", word("machine"), word("command"));
    let _ = writeln!(text, "in {} rounds. Versions: {}.", machine["rounds"], list("versions").join(", "));
    let missing = list("missing");
    if !missing.is_empty() {
        let _ = writeln!(text, "\nMissing: {}.", missing.join("; "));
    }
    let _ = writeln!(text, "\n### What was aimed at\n\n{}", goals::table(figures).trim_end());
    for (title, name, cases) in GROUPS {
        let of_group: Vec<_> = figures.iter().filter(|figure| belongs(figure, cases)).collect();
        if of_group.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n### {title}\n");
        if !name.is_empty() {
            let _ = writeln!(text, "![{title}](performance/{name}.svg)\n");
        }
        table(&of_group, &mut text);
    }
    text
}

fn belongs(figure: &Figure, cases: &[&str]) -> bool {
    // `W1` is no beginning of `W16`.
    let follows = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric());
    cases.iter().any(|case| figure.case.strip_prefix(case).is_some_and(follows))
}

fn table(figures: &[&Figure], text: &mut String) {
    let _ = writeln!(text, "| case | server | | ratio | to |\n|---|---|--:|--:|---|");
    for figure in figures {
        // Ratios to peers are for the goals: of those beside the floor's only the ones to hyper and to variants.
        let is_ours = |name: &str| ["hyper", "us"].contains(&name.split(['-', ',']).next().unwrap_or_default());
        if figure.client.is_none() && figure.ratio.is_some() && !is_ours(&figure.to) {
            continue;
        }
        let spread = figure.spread.map_or_else(String::new, |spread| format!(" ± {spread:.2}"));
        let ratio = figure.ratio.map_or_else(|| spread.clone(), |ratio| format!("{ratio:.2}{spread}"));
        let ratio = if figure.is_within_spread() { format!("≈ {ratio}") } else { ratio };
        let limited = if figure.is_limited { ", client at its limit" } else { "" };
        let Figure { case, server, to, .. } = figure;
        let to = match &**to {
            to if to == server => "",
            to => to,
        };
        let _ = writeln!(text, "| {case} | {server} | {}{limited} | {ratio} | {to} |", value(figure));
    }
}

/// In a unit that fits.
pub(crate) fn value(figure: &Figure) -> String {
    let value = figure.value;
    match figure.unit {
        figure::EVENTS_PER_SECOND if value >= 1e6 => format!("{:.2} M events/s", value / 1e6),
        figure::EVENTS_PER_SECOND => format!("{:.0} k events/s", value / 1e3),
        figure::BYTES_PER_STREAM => format!("{:.1} KB/stream", value / 1e3),
        figure::BYTES => format!("{:.1} MB", value / 1e6),
        figure::PART => format!("{:.1} %", value * 100.0),
        unit if value < 100.0 => format!("{value:.1} {unit}"),
        unit => format!("{value:.0} {unit}"),
    }
}

/// Title, picture, and what the names of its cases begin with.
pub(super) const GROUPS: &[(&str, &str, &[&str])] = &[
    ("A thousand clients, one event at a time", "w1", &["W1, all", "W1, HTTP", "W1"]),
    ("A thousand clients, sixteen events in one publish", "w16", &["W16"]),
    ("Ten events a second", "", &["ten a second"]),
    ("A flood to one client", "flood", &["flood"]),
    ("Connect to first event", "", &["connect"]),
    ("Memory of an idle stream", "memory", &["memory"]),
    ("Replay of 10,000 events to 100 clients", "", &["replay"]),
    ("One of 101 does not read", "", &["stalled"]),
    ("Latency", "", &["latency"]),
    ("Publish, to the caller", "publish", &["publish"]),
    ("By the clock", "", &["encode", "json", "decode", "accept", "inside", "idle", "shared"]),
];
