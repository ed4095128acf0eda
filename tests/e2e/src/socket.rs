//! The options of a connection, as documented in `docs/serving.md`, each optional.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::net::TcpStream;

/// The options beside `TCP_NODELAY`.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "tests create it")]
pub struct Options {
    /// The time after which unacknowledged data closes the connection.
    pub user_timeout: Option<Duration>,
    /// The limit of bytes that wait in the kernel to be sent.
    pub not_sent: Option<u32>,
}

/// Sets the options.
///
/// # Errors
///
/// Errors if the connection is closed, or the system has no such option.
pub fn tune(stream: &TcpStream, options: Options) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if let Some(after) = options.user_timeout {
        socket.set_tcp_user_timeout(Some(after))?;
    }
    if let Some(bytes) = options.not_sent {
        socket.set_tcp_notsent_lowat(bytes)?;
    }
    Ok(())
}
