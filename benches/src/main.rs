//! Measures this crate against floors of its own and against what a user would pick instead.
//!
//! ```sh
//! cargo run --release -p tower-sse-bench -- compare [--quick] [CASE…]
//! ```

mod cases;
mod control;
mod epoll;
mod figure;
mod fleet;
mod limits;
mod load;
mod machine;
mod process;
mod report;
mod rounds;
mod servers;
mod text;
mod wire;

use std::{env, io, process::ExitCode, time::Duration};

use cases::{ALL, Run, Scale};
use servers::Served;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["compare", ref rest @ ..] => compare(rest),
        ["serve", name, ref rest @ ..] => {
            let workers = rest.first().and_then(|workers| workers.parse().ok()).unwrap_or(1);
            servers::serve(Served { name, workers, http2: rest.contains(&"http2") })
        }
        ["publish-cost"] => cases::publish_cost(),
        ["report"] => report::again(),
        _ => Err(io::Error::other("usage: compare [--quick] [CASE…] | report")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &[&str]) -> io::Result<()> {
    let is_quick = arguments.contains(&"--quick");
    let wanted: Vec<_> = arguments.iter().filter(|argument| **argument != "--quick").collect();
    if let Some(unknown) = wanted.iter().find(|wanted| ALL.iter().all(|(name, _)| name != **wanted)) {
        return Err(io::Error::other(format!("no case is called {unknown:?}")));
    }
    limits::descriptors()?;
    let scale = if is_quick {
        Scale { rounds: 3, window: Duration::from_millis(60), is_quick }
    } else {
        Scale { rounds: 15, window: Duration::from_millis(250), is_quick }
    };
    let mut run = Run::new(scale)?;
    process::pin(Some(process::LOAD_CORE))?;
    for (name, case) in ALL {
        if wanted.is_empty() || wanted.contains(&name) {
            let done = case(&mut run);
            run.fleet.note(&[name], done);
        }
    }
    machine::note(&run, arguments)?;
    if wanted.is_empty() { report::write(&run.fleet.folder) } else { Ok(()) }
}
