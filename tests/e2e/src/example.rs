//! The examples, each built unchanged and started as a separate process.

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::Deserialize;

use crate::process::Process;

/// An example that listens, until it is dropped.
#[derive(Debug)]
pub struct Example {
    process: Process,
    origin: String,
}

impl Example {
    /// Starts an example on a free port and waits until it listens.
    ///
    /// # Errors
    ///
    /// Errors if the example does not build, or does not start.
    pub async fn start(name: &str) -> io::Result<Self> {
        Self::start_with(name, &[]).await
    }

    /// Starts an example with additions to its environment.
    ///
    /// # Errors
    ///
    /// Errors if the example does not build, or does not start.
    pub async fn start_with(name: &str, environment: &[(&str, &str)]) -> io::Result<Self> {
        let mut command = command(name)?;
        command.env("PORT", "0").envs(environment.iter().copied());
        let mut process = Process::start(command)?;
        let address = process.line("listening on ").await?;
        Ok(Self { process, origin: address.trim_end_matches('/').to_owned() })
    }

    /// Returns the address of a path of the example.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Returns the rest of the next printed line that begins with this prefix.
    ///
    /// # Errors
    ///
    /// Errors if the output ends before there is such a line.
    pub async fn line(&mut self, beginning: &str) -> io::Result<String> {
        self.process.line(beginning).await
    }
}

/// Returns the program of an example, to be run in another way.
///
/// # Errors
///
/// Errors if the examples do not build, or there is none of this name.
pub fn command(name: &str) -> io::Result<tokio::process::Command> {
    static BUILT: OnceLock<Result<Programs, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| error.to_string()));
    let programs = built.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let program = programs.get(name).ok_or_else(|| io::Error::other(format!("there is no example {name}")))?;
    Ok(tokio::process::Command::new(program))
}

type Programs = BTreeMap<String, PathBuf>;

/// With the packages and features that `tests/run` builds, so that nothing is built twice. Cargo holds no lock on the
/// directory while tests run.
fn build() -> Result<Programs, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--all-features", "--examples", "--bins", "--locked", "--quiet"])
        .args(["--message-format", "json-render-diagnostics"])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the examples do not build".into());
    }
    let mut programs = Programs::new();
    for line in output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Message = serde_json::from_slice(line)?;
        if let (Some(target), Some(program)) = (message.target, message.executable) {
            programs.insert(target.name, program);
        }
    }
    Ok(programs)
}

/// The prefix of cargo's own output while it builds.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}
