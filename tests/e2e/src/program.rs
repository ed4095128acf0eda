//! Programs that start others, as browsers and proxies do: all of them end with their test, when it passes, when it panics,
//! and when it is killed.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

/// A running program with all its children. Dropping it ends them, and waits until they are gone.
#[derive(Debug)]
pub struct Program {
    name: String,
    shell: Child,
    leash: Option<ChildStdin>,
    said: Arc<Mutex<Vec<u8>>>,
    silent: Receiver<()>,
}

impl Program {
    /// Starts a program, found on the path, in a process group of its own.
    ///
    /// # Errors
    ///
    /// Errors if there is no shell.
    pub fn start(
        name: &str,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        environment: &[(&str, &OsStr)],
    ) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", LEASH, "sh", name]).args(arguments.into_iter().map(Into::into));
        shell.envs(environment.iter().copied()).process_group(0);
        // One pipe for both streams, which ends when the last process that holds it does.
        let (mut output, writer) = io::pipe()?;
        shell.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = shell.spawn()?;
        drop(shell);

        let said = Arc::<Mutex<Vec<u8>>>::default();
        let (done, silent) = mpsc::channel();
        let into = Arc::clone(&said);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
            }
            drop(done);
        });
        Ok(Self { name: name.to_owned(), leash: child.stdin.take(), shell: child, said, silent })
    }

    /// Returns whether the program is running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Returns its standard output and error.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.leash = None;
        let _ = self.shell.wait();
        let _ = self.silent.recv_timeout(GONE);
        if thread::panicking() {
            eprintln!("{} said:\n{}", self.name, self.said());
        }
    }
}

/// Ends the whole group when the program ends, or when the other end of standard input is closed: by a drop, or by the
/// death of its owner.
const LEASH: &str = r#"{ "$@" </dev/null; echo "ended: $?"; kill -KILL 0; } & read -r _; kill -KILL 0"#;

/// Crash handlers have a group of their own, and end a little later.
const GONE: Duration = Duration::from_secs(10);
