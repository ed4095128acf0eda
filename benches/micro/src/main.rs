//! Counts the instructions of each hot path with callgrind, and compares them with what was counted before.
//!
//! ```sh
//! cargo run --release -p tower-sse-micro            # fails where one rose by more than a tenth
//! cargo run --release -p tower-sse-micro -- renew   # writes benches/micro/baseline.txt
//! cargo run --release -p tower-sse-micro -- clock   # nanoseconds instead, those of a name that has a word if one is given
//! ```
//!
//! They do not depend on how busy the machine is, but on the compiler and on the crates. Each path is run few times and
//! many times, and only the difference counts, so what it takes to get there does not.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use tower_sse_micro::{CASES, Case};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => check(),
        ["renew"] => renew(),
        ["clock"] => clock(""),
        ["clock", word] => clock(word),
        ["run", name, times] => run(name, times.parse().unwrap_or(0)),
        _ => Err(io::Error::other("usage: [renew | clock [WORD]]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a case. This is what callgrind looks at.
fn run(name: &str, times: u32) -> io::Result<()> {
    let case = ours().find(|case| case.name == name).ok_or_else(|| io::Error::other("no such case"))?;
    (case.prepare)()(times);
    Ok(())
}

/// The shortest of many short rounds, since what disturbs only adds. The cases take turns, so that it disturbs all.
fn clock(word: &str) -> io::Result<()> {
    let mut cases: Vec<_> = CASES
        .iter()
        .filter(|case| case.name.contains(word))
        .map(|case| (case, (case.prepare)(), Duration::MAX))
        .collect();
    for _ in 0..ROUNDS {
        for (_, run, shortest) in &mut cases {
            let begun = Instant::now();
            run(TIMES);
            *shortest = begun.elapsed().min(*shortest);
        }
    }
    for (case, _, shortest) in cases {
        println!("{:>9.1} ns {}: {}", shortest.as_secs_f64() * 1e9 / f64::from(TIMES), case.name, case.whose);
    }
    Ok(())
}

fn check() -> io::Result<()> {
    let baseline = read()?;
    let counts = count()?;
    let mut risen: Vec<_> = depends_on_subscribers(&counts).into_iter().collect();
    println!("{:>10} {:>10} {:>7}", "baseline", "now", "change");
    for (name, now) in counts {
        let Some(&before) = baseline.get(&name) else {
            return Err(io::Error::other(format!("{name}: not in {FILE}; renew it")));
        };
        let change = change(before, now);
        println!("{before:>10} {now:>10} {:>+6.1}% {name}", change * 100.0);
        if change > RISE {
            risen.push(format!("{name}: {before} instructions have become {now}"));
        }
    }
    if risen.is_empty() {
        return Ok(());
    }
    risen.push(format!(
        "if that is as it should be: cargo run --release -p tower-sse-micro -- renew, which writes {FILE}"
    ));
    Err(io::Error::other(risen.join("\n")))
}

/// Returns a fault if a publish takes more instructions the more subscribers there are.
fn depends_on_subscribers(counts: &[(String, u64)]) -> Option<String> {
    let of = |wanted: &str| counts.iter().find(|(name, _)| name == wanted).map(|&(_, count)| count);
    let (one, many) = (of("publish")?, of("publish with 10,000 subscribers")?);
    (change(one, many) > RISE)
        .then(|| format!("a publish takes {one} instructions with one subscriber, and {many} with 10,000"))
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn change(before: u64, now: u64) -> f64 {
    now as f64 / before as f64 - 1.0
}

fn renew() -> io::Result<()> {
    let version = Command::new("rustc").arg("--version").output()?.stdout;
    let mut text = HEAD.replace("VERSION", String::from_utf8_lossy(&version).trim());
    for (name, count) in count()? {
        println!("{count:>10} {name}");
        text.push_str(&format!("{count} {name}\n"));
    }
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.txt"), text)
}

fn read() -> io::Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.txt"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    Ok(lines.filter_map(|(count, name)| Some((name.to_owned(), count.parse().ok()?))).collect())
}

/// Returns the instructions of one run of each case.
fn count() -> io::Result<Vec<(String, u64)>> {
    let mut counts = Vec::new();
    for case in ours() {
        let few = instructions(case.name, FEW)?;
        // What it takes to open 10,000 streams varies by more than a few publishes: a timer and a hash are drawn at random.
        let times = if case.name.starts_with("publish") { MANY_PUBLISHES } else { MANY };
        let many = instructions(case.name, times)?;
        counts.push((case.name.to_owned(), many.saturating_sub(few) / u64::from(times - FEW)));
    }
    Ok(counts)
}

/// Returns the instructions of a process that runs the case this many times.
fn instructions(name: &str, times: u32) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["run", name, &times.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.filter(|_| output.status.success()).and_then(|(_, count)| count.trim().parse().ok());
    collected.ok_or_else(|| io::Error::other(format!("callgrind failed for {name}: {said}")))
}

fn ours() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| case.whose == "us")
}

const FILE: &str = "benches/micro/baseline.txt";

const HEAD: &str = "\
# Instructions of each hot path, by callgrind. `.ci/run` fails where one has risen by more than a tenth.
# They depend on the compiler and on the crates: counted with VERSION and the Cargo.lock beside.
# Renewed, where a rise or a fall is meant, by `cargo run --release -p tower-sse-micro -- renew`.
";

const RISE: f64 = 0.1;
const FEW: u32 = 50;
const MANY: u32 = 250;
const MANY_PUBLISHES: u32 = 20_000;
const ROUNDS: u32 = 300;
const TIMES: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_that_depends_on_the_subscribers_is_a_fault() {
        let fault = |many| {
            let counts = [("publish", 1000), ("publish with 10,000 subscribers", many)];
            depends_on_subscribers(&counts.map(|(name, count)| (name.to_owned(), count)))
        };
        assert_eq!(fault(1090), None);
        assert_eq!(fault(900), None, "fewer do no harm");
        assert!(fault(1110).is_some());
    }
}
