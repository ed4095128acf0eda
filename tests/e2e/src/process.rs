//! Other programs: each ends with its test, also if the test fails.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::client::LIMIT;

/// A program that runs until it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts the program. Its standard error appears in the output of the test.
    ///
    /// # Errors
    ///
    /// Errors if the process could not be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("standard output was not asked for"))?;
        Ok(Self { child, output: BufReader::new(output).lines() })
    }

    /// Returns the rest of the next line of its output that begins with this prefix. Skips the lines before.
    ///
    /// # Errors
    ///
    /// Errors if the program ended without such a line, or did not write one for a long time.
    pub async fn line(&mut self, beginning: &str) -> io::Result<String> {
        timeout(LIMIT, self.find(beginning)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Errors
    ///
    /// Errors if the program has ended.
    pub async fn signal(&self, name: &str) -> io::Result<()> {
        let id = self.child.id().ok_or_else(|| io::Error::other("the program has ended"))?;
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &id.to_string()]);
        run(kill).await.map(drop)
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    ///
    /// Errors if the process does not end for a long time.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        timeout(LIMIT, self.child.wait()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn find(&mut self, beginning: &str) -> io::Result<String> {
        while let Some(line) = self.output.next_line().await? {
            if let Some(rest) = line.strip_prefix(beginning) {
                return Ok(rest.to_owned());
            }
        }
        Err(io::Error::other(format!("the program ended before it said {beginning:?}")))
    }
}

/// Runs a program to its end and returns its output.
///
/// # Errors
///
/// Errors if the process could not be started, did not end for a long time, or failed; then the error contains its standard error.
pub async fn run(mut command: Command) -> io::Result<Vec<u8>> {
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(LIMIT, ended).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let program = Path::new(command.as_std().get_program()).display();
    Err(io::Error::other(format!("{program}: {}\n{said}", output.status)))
}
