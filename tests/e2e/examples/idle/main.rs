//! The cost of an idle stream to a server process: memory and file descriptors, with the lines of `docs/serving.md` and without.
//!
//! ```sh
//! cargo run --release -p tower-sse-e2e --example idle
//! cargo run --release -p tower-sse-e2e --example idle -- 10000 axum-lines
//! LD_PRELOAD=libjemalloc.so.2 cargo run --release -p tower-sse-e2e --example idle
//! ```
//!
//! Each server is a separate process. Linux only: it reads `/proc`.

mod client;
mod serve;

use std::{env, fs, io, process::Stdio};

use tokio::process::Command;
use tower_sse::BoxError;
use tower_sse_e2e::process::Process;

use crate::{client::Streams, serve::Kind};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", kind] => serve::run(Kind::find(kind)?).await?,
        [] => measure(5000, Kind::ALL).await?,
        [streams] => measure(streams.parse()?, Kind::ALL).await?,
        [streams, kind] => measure(streams.parse()?, &[Kind::find(kind)?]).await?,
        _ => return Err("usage: idle [STREAMS [SERVER]]".into()),
    }
    Ok(())
}

async fn measure(streams: usize, kinds: &[Kind]) -> Result<(), BoxError> {
    println!("{:<16}{:>16}{:>22}", format!("{streams} streams"), "bytes a stream", "descriptors a stream");
    for kind in kinds {
        let mut command = Command::new(env::current_exe()?);
        command.args(["serve", kind.name()]).stderr(Stdio::inherit());
        let mut server = Process::start(command)?;
        let id: u32 = server.line("process ").await?.parse()?;
        let address = server.line("listening on ").await?;
        // Memory that the first stream initialises is not counted.
        drop(Streams::open(&address, 1, kind.is_http2()).await?);
        let before = (resident(id)?, descriptors(id)?);
        let open = Streams::open(&address, streams, kind.is_http2()).await?;
        let after = (resident(id)?, descriptors(id)?);
        drop(open);
        let bytes = after.0.saturating_sub(before.0) / streams;
        let descriptors = (after.1 - before.1) as f64 / streams as f64;
        println!("{:<16}{bytes:>16}{descriptors:>22.2}", kind.name());
    }
    Ok(())
}

/// Returns the bytes of memory of a process.
fn resident(id: u32) -> io::Result<usize> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other("no VmRSS"))
}

fn descriptors(id: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{id}/fd"))?.count())
}
