//! Figures as tables, a row for each server.

use std::{fmt::Write, slice};

use serde_json::Value;

use super::goals;
use crate::figure::{self, Figure};

/// All of them, after the conditions of the measurement.
pub(crate) fn tables(figures: &[Figure], notes: &[Value]) -> String {
    let mut text = conditions(notes);
    let _ = writeln!(text, "\n### Goals\n\n{}", goals::table(figures).trim_end());
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

/// Machine, versions, durations and what is missing, of all groups of cases.
fn conditions(notes: &[Value]) -> String {
    // Groups that were measured under different conditions name each of them.
    let distinct = |key: &str| {
        let values =
            notes.iter().flat_map(|note| note[key].as_array().map_or(slice::from_ref(&note[key]), Vec::as_slice));
        let values = values.filter(|value| !value.is_null());
        let values = values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        values.fold(Vec::new(), |mut found, value| {
            if !found.contains(&value) {
                found.push(value);
            }
            found
        })
    };
    let groups = notes.iter().filter_map(|note| {
        let seconds = note["seconds"].as_f64()?;
        Some(format!("{} {:.1} min", note["group"].as_str()?, seconds / 60.0))
    });
    let groups = groups.collect::<Vec<_>>().join(", ");
    let minutes = notes.iter().filter_map(|note| note["seconds"].as_f64()).sum::<f64>() / 60.0;
    let mut text = format!("Measured on {}, ", distinct("machine").join("; "));
    let _ =
        writeln!(text, "in {} rounds. Versions: {}.", distinct("rounds").join(" or "), distinct("versions").join(", "));
    let _ = writeln!(text, "\nDurations of the groups: {groups}; {minutes:.0} min in all.");
    let _ = writeln!(text, "\n≈ marks a difference that lies within its spread.");
    let missing = distinct("missing");
    if !missing.is_empty() {
        let _ = writeln!(text, "\nMissing: {}.", missing.join("; "));
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
