//! Redis as packaged by Debian: on a free port of loopback, in a directory of its own, without a configuration file.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::program::Program;

/// A Redis that runs until it is killed or dropped. Its files are kept as long.
#[derive(Debug)]
pub struct Redis {
    server: String,
    port: u16,
    options: Vec<String>,
    directory: TempDir,
    program: Option<Program>,
}

impl Redis {
    /// Starts a Redis with these options, as on the command line, and waits until it responds.
    ///
    /// # Errors
    ///
    /// Errors if Redis is not installed, or does not start.
    pub fn start(options: &[&str]) -> io::Result<Self> {
        let mut redis = Self::new(options)?;
        redis.restart()?;
        Ok(redis)
    }

    /// Creates a Redis that does not run yet.
    ///
    /// # Errors
    ///
    /// Errors if there is no free port, or no room for its files.
    pub fn new(options: &[&str]) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Ok(Self { server: "redis-server".to_owned(), port, options, directory: TempDir::new()?, program: None })
    }

    /// Starts another server that is compatible with Redis.
    ///
    /// # Errors
    ///
    /// Errors if the server is not installed, or does not start.
    pub fn start_as(server: &str, options: &[&str]) -> io::Result<Self> {
        let mut redis = Self { server: server.to_owned(), ..Self::new(options)? };
        redis.restart()?;
        Ok(redis)
    }

    /// Kills Redis if it runs, and starts it on the same port, with the files that it has written.
    ///
    /// # Errors
    ///
    /// Errors if Redis does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        let directory = self.directory.path().display().to_string();
        let mut arguments: Vec<String> =
            ["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir", &directory, "--daemonize", "no"]
                .map(str::to_owned)
                .into();
        if !self.options.iter().any(|option| option == "--save") {
            arguments.extend(["--save", ""].map(str::to_owned));
        }
        arguments.extend(self.options.iter().cloned());
        self.program = Some(Program::start(&self.server, arguments, &[])?);
        let until = Instant::now() + Duration::from_secs(120);
        while !self.answers() {
            if Instant::now() > until {
                return Err(io::Error::other("redis does not answer"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends Redis by SIGKILL.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Removes the files of Redis, as on a new disk.
    ///
    /// # Errors
    ///
    /// Errors if there is no room for new ones.
    pub fn forget(&mut self) -> io::Result<()> {
        self.directory = TempDir::new()?;
        Ok(())
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Returns the output of `redis-cli` for a command.
    ///
    /// # Errors
    ///
    /// Errors if Redis is not installed, or failed.
    pub fn cli(&self, arguments: &[&str]) -> io::Result<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Returns a number of one line of `INFO`.
    ///
    /// # Errors
    ///
    /// Errors if there is no such line.
    pub fn info(&self, name: &str) -> io::Result<String> {
        let info = self.cli(&["INFO", "ALL"])?;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned()).ok_or_else(|| io::Error::other(format!("no {name} in INFO")))
    }

    /// Sends a signal to Redis, such as `STOP` and `CONT`.
    ///
    /// # Errors
    ///
    /// Errors if Redis does not run.
    pub fn signal(&self, process: &str, signal: &str) -> io::Result<()> {
        let status = Command::new("kill").args([&format!("-{signal}"), process]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("it does not run")) }
    }

    fn answers(&self) -> bool {
        let ask = || -> io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(&answer == b"+PONG")
        };
        ask().unwrap_or(false)
    }
}
