//! The options of each connection. Why: `docs/serving.md`.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

/// Sets all of them. A connection that does not take an option is served all the same: it may be gone already.
pub(crate) fn tune(stream: &TcpStream) {
    if let Err(error) = set(&SockRef::from(stream)) {
        debug!(%error, "an option of a socket");
    }
}

fn set(socket: &SockRef<'_>) -> io::Result<()> {
    // Each event leaves at once, and does not wait until the one before is acknowledged.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        // What was sent and not acknowledged for so long ends the connection: the client is gone, or does not read.
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        // What a client does not read waits here, where it is seen, and not in the kernel.
        socket.set_tcp_notsent_lowat(NOT_SENT)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(target_os = "linux")]
const NOT_SENT: u32 = 16 << 10;
