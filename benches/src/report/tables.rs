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
    let noted = |key: &str| {
        let values =
            notes.iter().flat_map(|note| note[key].as_array().map_or(slice::from_ref(&note[key]), Vec::as_slice));
        let values = values.filter(|value| !value.is_null());
        distinct(values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    };
    let groups = notes.iter().filter_map(|note| {
        let seconds = note["seconds"].as_f64()?;
        Some(format!("{} {:.1} min", note["group"].as_str()?, seconds / 60.0))
    });
    let groups = groups.collect::<Vec<_>>().join(", ");
    let minutes = notes.iter().filter_map(|note| note["seconds"].as_f64()).sum::<f64>() / 60.0;
    let mut text = format!("Measured on {}, ", noted("machine").join("; "));
    let _ = writeln!(text, "in {} rounds. Versions: {}.", noted("rounds").join(" or "), noted("versions").join(", "));
    let _ = writeln!(text, "\nDurations of the groups: {groups}; {minutes:.0} min in all.");
    let _ = writeln!(text, "\n≈ marks a difference within its spread, † a client at its limit.");
    let missing = noted("missing");
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

/// The figures of a group: a table of all cases and servers, and one of this crate to others in the same rounds.
fn table(figures: &[&Figure], text: &mut String) {
    let is_to_floor = |figure: &&Figure| figure.ratio.is_none() || figure.client.is_some();
    let (measured, others): (Vec<_>, Vec<_>) = figures.iter().copied().partition(is_to_floor);
    // The floor is named once if it is the same for all cases.
    let floors = distinct(measured.iter().map(|figure| to(figure)));
    let (corner, is_one) = match &floors[..] {
        [one] => (one.as_str(), true),
        _ => ("", false),
    };
    let case = |figure: &Figure| if is_one { figure.case.clone() } else { format!("{} {}", figure.case, to(figure)) };
    let measured = measured.into_iter().map(|figure| (case(figure), figure.server.clone(), cell(figure)));
    grid(corner, &measured.collect::<Vec<_>>(), text);
    // Ratios to peers are for the goals.
    let others = others.into_iter().filter(|figure| is_ours(&figure.to));
    let others = others.map(|figure| (figure.case.clone(), format!("{} {}", figure.server, to(figure)), ratio(figure)));
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        text.push('\n');
        grid("", &others, text);
    }
}

/// Writes cells by case and server, the larger number of both as rows: a page is higher than it is wide.
fn grid(corner: &str, cells: &[(String, String, String)], text: &mut String) {
    let (cases, servers) = (distinct(cells.iter().map(|cell| &cell.0)), distinct(cells.iter().map(|cell| &cell.1)));
    let are_cases_rows = cases.len() > servers.len();
    let (rows, columns) = if are_cases_rows { (cases, servers) } else { (servers, cases) };
    let _ = writeln!(
        text,
        "| {corner} |{}|",
        columns.iter().map(|column| format!(" {column} ")).collect::<Vec<_>>().join("|")
    );
    let _ = writeln!(text, "|---|{}", "--:|".repeat(columns.len()));
    for row in rows {
        let _ = write!(text, "| {row} |");
        for column in &columns {
            let (case, server) = if are_cases_rows { (row, *column) } else { (*column, row) };
            let cell = cells.iter().find(|cell| cell.0 == *case && cell.1 == *server);
            let _ = write!(text, " {} |", cell.map_or("", |cell| &cell.2));
        }
        text.push('\n');
    }
}

/// Returns each value once, in the order in which they come.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut found, value| {
        if !found.contains(&value) {
            found.push(value);
        }
        found
    })
}

/// The server to which a ratio is, as in `to hyper`.
fn to(figure: &Figure) -> String {
    if figure.to.is_empty() { String::new() } else { format!("to {}", figure.to) }
}

fn cell(figure: &Figure) -> String {
    let ratio = if figure.server == figure.to { String::new() } else { ratio(figure) };
    let parts = [value(figure), ratio, if figure.is_limited { "†".to_owned() } else { String::new() }];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A ratio with its spread, or the spread alone.
fn ratio(figure: &Figure) -> String {
    let mark = if figure.is_within_spread() { "≈ " } else { "" };
    let ratio = figure.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    let spread = figure.spread.map_or_else(String::new, |spread| format!(" ± {spread:.2}"));
    let text = format!("{mark}{ratio}{spread}");
    text.trim_start().to_owned()
}

/// Returns `true` for this crate, hyper's floor, and variants of both.
fn is_ours(name: &str) -> bool {
    ["hyper", "us"].contains(&name.split(['-', ',']).next().unwrap_or_default())
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
        figure::US_PER_STREAM => format!("{value:.2} {}", figure.unit),
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
    ("Many streams in one process", "", &["many"]),
    ("Idle streams with heartbeats", "", &["heartbeats"]),
    ("Replay of 10,000 events to 100 clients", "", &["replay"]),
    ("One of 101 does not read", "", &["stalled"]),
    ("Latency", "", &["latency"]),
    ("A thousand events a second to a hundred clients", "", &["1,000 a second", "p50, 1,000", "p99, 1,000"]),
    ("Publish, to the caller", "publish", &["publish"]),
    ("By the clock", "", &["encode", "json", "decode", "accept", "inside", "idle", "shared"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(case: &str, server: &str, ratio: (f64, f64), client: Option<f64>, to: &str) -> Figure {
        let (ratio, spread, to) = (Some(ratio.0), Some(ratio.1), to.to_owned());
        Figure { to, ratio, spread, client, ..Figure::single(case, server, figure::NS_PER_EVENT, 500.0) }
    }

    #[test]
    fn servers_are_rows_and_differences_within_the_spread_are_marked() {
        let figures = [
            figure("W1", "hyper", (1.0, 0.0), Some(0.5), "hyper"),
            Figure { is_limited: true, ..figure("W1", "us", (1.05, 0.06), Some(0.5), "hyper") },
            figure("W1", "us-cores", (0.9, 0.01), Some(0.5), "hyper"),
            figure("W1", "us-cores", (0.8, 0.01), None, "us"),
            figure("W1", "us", (0.5, 0.01), None, "axum"),
        ];
        let mut text = String::new();
        table(&figures.iter().collect::<Vec<_>>(), &mut text);
        let expected = "\
            | to hyper | W1 |\n\
            |---|--:|\n\
            | hyper | 500 ns/event |\n\
            | us | 500 ns/event ≈ 1.05 ± 0.06 † |\n\
            | us-cores | 500 ns/event 0.90 ± 0.01 |\n\
            \n\
            |  | W1 |\n\
            |---|--:|\n\
            | us-cores to us | 0.80 ± 0.01 |\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn cases_are_rows_where_they_are_more() {
        let figures = ["encode", "decode"].map(|case| Figure::single(case, "us", figure::NS, 40.0));
        let mut text = String::new();
        table(&figures.iter().collect::<Vec<_>>(), &mut text);
        assert_eq!(text, "|  | us |\n|---|--:|\n| encode | 40.0 ns |\n| decode | 40.0 ns |\n");
    }
}
