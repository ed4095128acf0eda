//! Measures this crate against floors of its own and against what a user would pick instead.
//!
//! ```sh
//! cargo run --release -p tower-sse-bench -- compare [--quick] [GROUP…]  # measures, and keeps the figures of each group
//! cargo run --release -p tower-sse-bench -- report [FOLDER…]            # writes the kept figures into the document
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
        ["report", ref folders @ ..] => report::again(folders),
        _ => Err(io::Error::other("usage: compare [--quick] [GROUP…] | report [FOLDER…]")),
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
        return Err(io::Error::other(format!("no group is called {unknown:?}")));
    }
    limits::descriptors()?;
    let scale = if is_quick {
        Scale { rounds: 3, window: Duration::from_millis(60), is_quick }
    } else {
        Scale { rounds: 15, window: Duration::from_millis(250), is_quick }
    };
    let mut run = Run::new(scale)?;
    process::pin(Some(process::LOAD_CORE))?;
    // Those that cannot be had at all are missing in each group.
    let missing = run.fleet.missing.len();
    for (name, case) in ALL {
        if wanted.is_empty() || wanted.contains(&name) {
            run.group(name, *case, missing)?;
        }
    }
    if wanted.is_empty() && !is_quick { report::write(&[&run.results_folder()]) } else { Ok(()) }
}
