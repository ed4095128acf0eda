//! The cost of vectored and of flat writes: CPU for an event, by size, and memory of a reader that stalls.
//!
//! ```sh
//! cargo run --release -p tower-sse-e2e --example writes -- cost
//! cargo run --release -p tower-sse-e2e --example writes -- stalled
//! ```
//!
//! Each measurement is a process of its own, with one thread for the server and one for the clients. Linux only: it looks into
//! `/proc`.

mod clients;
mod serve;

use std::{env, fs, io, process::Command, time::Duration};

use tower_sse::BoxError;
use tower_sse_e2e::socket::Options;

use crate::{clients::Clients, serve::Server};

/// The servers of a comparison; the first is the baseline.
const KINDS: [&str; 7] = ["hyper", "hyper-flat-16", "hyper-flat-64", "axum", "axum-flat", "tonic", "tonic-flat"];

const SIZES: [usize; 8] = [32, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10];

fn main() -> Result<(), BoxError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["cost"] => costs(11)?,
        ["cost", rounds] => costs(rounds.parse()?)?,
        ["stalled"] => stalled()?,
        ["one", "cost", kind, size] => println!("{}", cost(kind, size.parse()?)?),
        ["one", "stalled", kind, size] => println!("{}", held(kind, size.parse()?)?),
        _ => return Err("usage: writes cost [ROUNDS] | stalled".into()),
    }
    Ok(())
}

/// Prints the CPU for an event of each server, and its ratio to the server of the same name without flat writes.
fn costs(rounds: usize) -> Result<(), BoxError> {
    for size in SIZES {
        let mut series = vec![Vec::new(); KINDS.len()];
        for _ in 0..rounds {
            for (series, kind) in series.iter_mut().zip(KINDS) {
                series.push(one("cost", kind, size)?);
            }
        }
        for (series_of, kind) in series.iter().zip(KINDS) {
            let base = KINDS.iter().position(|base| Some(base) == kind.split('-').next().as_ref()).unwrap_or(0);
            let ratios = series_of.iter().zip(&series[base]).map(|(value, base)| value / base).collect();
            let ([_, value, _], [low, ratio, high]) = (quartiles(series_of.clone()), quartiles(ratios));
            println!("{size:>7} {kind:<14} {value:>9.0} ns/event  {ratio:.3} ± {:.3}", (high - low) / 2.0);
        }
    }
    Ok(())
}

/// Prints the memory of a reader that stalls.
fn stalled() -> Result<(), BoxError> {
    for size in [1 << 10, 64 << 10] {
        for kind in KINDS {
            println!("{size:>7} {kind:<14} {:>9.0} bytes/client", one("stalled", kind, size)?);
        }
    }
    Ok(())
}

fn one(what: &str, kind: &str, size: usize) -> Result<f64, BoxError> {
    let output = Command::new(env::current_exe()?).args(["one", what, kind, &size.to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().map_err(|_| format!("{kind}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Returns the nanoseconds of the server's thread for an event of this size.
fn cost(kind: &str, size: usize) -> Result<f64, BoxError> {
    let server = Server::start(kind, Options::default())?;
    let count = if size > 32 << 10 { 20 } else { 200 };
    let mut clients = Clients::open(server.address, count)?;
    let publish = |clients: &mut Clients, bytes: usize| -> io::Result<usize> {
        let publishes = bytes.div_ceil(size * count).clamp(5, 150);
        for _ in 0..publishes {
            server.publish(size);
            clients.read_event()?;
        }
        Ok(publishes * count)
    };
    publish(&mut clients, 8 << 20)?;
    let before = server.cpu()?;
    let events = publish(&mut clients, 200 << 20)?;
    let spent = server.cpu()? - before;
    Ok(spent.as_nanos() as f64 / events as f64)
}

/// Returns the bytes by which the process grows for each client that does not read, while events of this size are published.
fn held(kind: &str, size: usize) -> Result<f64, BoxError> {
    let options = Options { user_timeout: None, not_sent: Some(16 << 10) };
    let server = Server::start(kind, options)?;
    let count = 200;
    let mut clients = Clients::open(server.address, count)?;
    server.publish(size);
    clients.read_event()?;
    let before = resident()?;
    // Far more than the kernel buffers with `TCP_NOTSENT_LOWAT`, and hyper after it.
    let (mut last, mut same) = (0, 0);
    while same < 8 {
        for _ in 0..(1 << 20) / size {
            server.publish(size);
        }
        std::thread::sleep(Duration::from_millis(100));
        let now = resident()?;
        same = if now.abs_diff(last) < 1 << 20 { same + 1 } else { 0 };
        last = now;
    }
    drop(clients);
    Ok(last.saturating_sub(before) as f64 / count as f64)
}

/// Returns the bytes of memory of this process.
fn resident() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other("no VmRSS"))
}

/// Returns the quartiles of these values.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
