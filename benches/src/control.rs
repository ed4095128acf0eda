//! The control protocol of a server: a connection beside those of its clients, a command a line.
//!
//! One `read` for a command, whatever the number of clients, so the cost of a command is small beside the deliveries.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

/// Events to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Command {
    /// Publishes to the topic whose log is replayed, instead of the watched one.
    pub(crate) to_log: bool,
    /// The number of events in one publish.
    pub(crate) events: u64,
    /// The bytes of data of each event.
    pub(crate) size: usize,
}

impl Command {
    /// A line of the protocol.
    pub(crate) fn new(to_log: bool, events: u64, size: usize) -> Self {
        Self { to_log, events, size }
    }

    /// Reads one line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let to_log = match words.next()? {
            "publish" => false,
            "log" => true,
            _ => return None,
        };
        Some(Self { to_log, events: words.next()?.parse().ok()?, size: words.next()?.parse().ok()? })
    }

    /// Encodes as a line.
    pub(crate) fn line(self) -> String {
        let Self { to_log, events, size } = self;
        format!("{} {events} {size}\n", if to_log { "log" } else { "publish" })
    }
}

/// Returns an unused address.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Prints the addresses of the server and of its control port, for which the parent waits.
pub(crate) fn announce(server: SocketAddr, control: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {} {}", server.port(), control.port())?;
    out.flush()
}

/// Executes commands until the control connection is closed.
pub(crate) async fn obey(listener: TcpListener, mut act: impl FnMut(Command)) -> io::Result<()> {
    let (connection, _) = listener.accept().await?;
    let mut lines = BufReader::new(connection).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(command) = Command::parse(&line) {
            act(command);
        }
    }
    Ok(())
}
