//! Readings of `/proc`, and the load between two of them.

use std::{collections::BTreeMap, fs, io, path::Path, time::Instant};

use serde::Serialize;
use tower_sse::BoxError;

/// A reading.
pub(crate) struct Reading {
    at: Instant,
    /// For each core its busy time and its total time, in the kernel's ticks.
    cores: BTreeMap<String, (u64, u64)>,
    memory: Memory,
    /// For each interface the bytes received and sent.
    interfaces: BTreeMap<String, (u64, u64)>,
}

/// The load of the machine between two readings.
pub(crate) struct Machine {
    /// For each core the busy share of the time, from 0 to 1.
    pub(crate) cores: BTreeMap<String, f64>,
    pub(crate) memory: Memory,
    pub(crate) interfaces: BTreeMap<String, Traffic>,
}

/// Memory use in bytes.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Memory {
    used: u64,
    total: u64,
    swap: u64,
}

/// Traffic of an interface in bytes a second.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Traffic {
    received: f64,
    sent: f64,
}

impl Reading {
    /// Reads `stat`, `meminfo` and `net/dev` in this directory.
    pub(crate) fn of(proc: &Path) -> Result<Self, BoxError> {
        Ok(Self {
            at: Instant::now(),
            cores: cores(&read(proc, "stat")?),
            memory: memory(&read(proc, "meminfo")?).ok_or("meminfo has no MemTotal and MemAvailable")?,
            interfaces: interfaces(&read(proc, "net/dev")?),
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Machine {
        let seconds = (self.at - before.at).as_secs_f64();
        let cores = self.cores.iter().map(|(core, now)| {
            let (busy, all) = difference(*now, before.cores.get(core));
            (core.clone(), if all > 0.0 { (busy / all).min(1.0) } else { 0.0 })
        });
        let interfaces = self.interfaces.iter().map(|(interface, now)| {
            let (received, sent) = difference(*now, before.interfaces.get(interface));
            (interface.clone(), Traffic { received: received / seconds, sent: sent / seconds })
        });
        Machine { cores: cores.collect(), memory: self.memory, interfaces: interfaces.collect() }
    }

    /// Returns the cores that the other reading does not have.
    pub(crate) fn cores_without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.cores.keys().filter(|core| !other.cores.contains_key(*core)).map(String::as_str)
    }

    /// Returns the interfaces that the other reading does not have.
    pub(crate) fn interfaces_without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.interfaces.keys().filter(|name| !other.interfaces.contains_key(*name)).map(String::as_str)
    }
}

/// Returns the growth of both counters, or zero if a counter is new or was reset.
fn difference(now: (u64, u64), before: Option<&(u64, u64)>) -> (f64, f64) {
    let before = before.copied().unwrap_or(now);
    (now.0.saturating_sub(before.0) as f64, now.1.saturating_sub(before.1) as f64)
}

/// Parses `cpu0 user nice system idle iowait irq softirq steal …`; guest time is part of `user`.
fn cores(stat: &str) -> BTreeMap<String, (u64, u64)> {
    let cores = stat.lines().filter_map(|line| {
        let (core, times) = line.split_once(' ')?;
        let is_core = core.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok());
        let times: Vec<u64> = times.split_whitespace().take(8).filter_map(|time| time.parse().ok()).collect();
        let all = times.iter().sum::<u64>();
        let idle = times.iter().skip(3).take(2).sum::<u64>();
        is_core.then(|| (core.to_owned(), (all - idle, all)))
    });
    cores.collect()
}

/// Parses `MemTotal: 16384 kB`.
fn memory(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let total = bytes("MemTotal")?;
    let used = total.saturating_sub(bytes("MemAvailable")?);
    let swap = bytes("SwapTotal").unwrap_or(0).saturating_sub(bytes("SwapFree").unwrap_or(0));
    Some(Memory { used, total, swap })
}

/// Parses `eth0: bytes packets errs drop fifo frame compressed multicast bytes …`: received first, then sent.
fn interfaces(dev: &str) -> BTreeMap<String, (u64, u64)> {
    let interfaces = dev.lines().filter_map(|line| {
        let (interface, counts) = line.split_once(':')?;
        let mut counts = counts.split_whitespace().map(str::parse);
        let (received, sent) = (counts.next()?.ok()?, counts.nth(7)?.ok()?);
        Some((interface.trim().to_owned(), (received, sent)))
    });
    interfaces.collect()
}

fn read(proc: &Path, file: &str) -> io::Result<String> {
    let path = proc.join(file);
    fs::read_to_string(&path).map_err(|error| {
        let message = format!("{}: {error}; set PROC to a directory with Linux's /proc files", path.display());
        io::Error::new(error.kind(), message)
    })
}
