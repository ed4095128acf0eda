//! The conditions of a measurement: machine, versions, and duration, beside the results.

use std::{fs, io, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::cases::Run;

/// Writes down the conditions of a group of cases, and which servers were missing in it.
pub(crate) fn note(run: &Run, group: &str, missing: &[(String, String)], took: Duration) -> io::Result<()> {
    let missing: Vec<_> = missing.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let note = json!({
        "machine": machine(),
        "versions": versions(),
        "group": group,
        "seconds": took.as_secs(),
        "rounds": run.scale.rounds,
        "load_average": fs::read_to_string("/proc/loadavg")?.split(' ').next(),
        "missing": missing,
    });
    fs::write(run.results_folder().join(file(group)), note.to_string())
}

/// Returns `true` if this folder has a finished run of this group.
pub(crate) fn is_noted(folder: &Path, group: &str) -> bool {
    folder.join(file(group)).exists()
}

/// Reads the conditions of a group.
pub(crate) fn read(folder: &Path, group: &str) -> io::Result<Value> {
    serde_json::from_str(&fs::read_to_string(folder.join(file(group)))?).map_err(io::Error::other)
}

fn file(group: &str) -> String {
    format!("{group}.machine.json")
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cores = cores.max(cpu.lines().filter(|line| line.starts_with("processor")).count());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<_> = kernel.trim().split(['-', '+']).take(1).collect();
    format!("{}, {cores} cores, Linux {}, loopback", model.trim_start_matches(['\t', ':', ' ']), kernel.concat())
}

fn versions() -> Vec<String> {
    let mut versions = vec![said("rustc", &["--version"])];
    let locks = [
        (include_str!("../../Cargo.lock"), &["hyper", "tokio", "h2"][..]),
        (include_str!("../peers/Cargo.lock"), &["axum", "actix-web", "actix-web-lab", "warp", "salvo"][..]),
    ];
    for (lock, names) in locks {
        versions.extend(names.iter().filter_map(|name| Some(format!("{name} {}", locked(lock, name)?))));
    }
    let better_sse: Value = serde_json::from_str(include_str!("../outside/package.json")).unwrap_or_default();
    versions.extend(better_sse["dependencies"]["better-sse"].as_str().map(|version| format!("better-sse {version}")));
    versions.push(format!("Node {}", said("node", &["--version"])));
    versions.push(said("dpkg-query", &["-f", "nchan ${Version}", "-W", "libnginx-mod-nchan"]));
    versions.push(said("dpkg-query", &["-f", "jemalloc ${Version}", "-W", "libjemalloc2"]));
    versions.retain(|version| !version.is_empty());
    versions
}

/// The version in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, found) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    found.split('"').next()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
