//! The socket options of each connection. See `docs/serving.md`.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

/// Sets all options. The connection is served even if one fails: it may be closed already.
pub(crate) fn tune(stream: &TcpStream) {
    if let Err(error) = set(&SockRef::from(stream)) {
        debug!(%error, "cannot set a socket option");
    }
}

fn set(socket: &SockRef<'_>) -> io::Result<()> {
    // Each event leaves at once, without waiting for the acknowledgement of the one before.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        // Closes the connection if data stays unacknowledged for this time: the client is gone, or does not read.
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        // Unsent data waits in this process, where the watchdog sees it, not in the kernel.
        socket.set_tcp_notsent_lowat(NOT_SENT)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(target_os = "linux")]
const NOT_SENT: u32 = 16 << 10;
