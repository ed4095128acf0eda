//! Clients that come each at its time, without waiting for each other.

use std::{
    io::{self, ErrorKind, Write},
    iter,
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use rustix::{
    event::epoll::EventFlags,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};

use super::{Ask, Connection, Http1, Http2, LONG, Load, Protocol, Tally, http1, http2};
use crate::epoll::Epoll;

impl Load {
    /// Opens streams, each so long after now, and waits until each has its first event or is refused, or for half a minute
    /// after the last one was opened. Over HTTP/2 a connection is opened with the first of its streams.
    pub(crate) fn storm(&mut self, after: &[Duration], ask: Ask<'_>) -> io::Result<()> {
        let in_one = ask.streams.map_or(1, |streams| streams as usize);
        let mut plan: Vec<_> = after.iter().enumerate().map(|(stream, &after)| (after, stream / in_one)).collect();
        plan.sort_unstable();
        let (begun, last) = (Instant::now(), plan.last().map_or(Duration::ZERO, |last| last.0));
        let mut connections = vec![None; after.len().div_ceil(in_one)];
        let mut plan = plan.into_iter().peekable();
        while self.tally.crowd.firsts.len() + self.tally.crowd.refused < after.len() {
            let now = begun.elapsed();
            if now > last + LONG {
                break;
            }
            let due = iter::from_fn(|| plan.next_if(|next| next.0 <= now));
            for (_, connection) in due.take(AT_ONCE) {
                self.come(&mut connections[connection], ask)?;
            }
            self.turn()?;
        }
        Ok(())
    }

    /// One more stream, over this connection or a new one.
    fn come(&mut self, at: &mut Option<RawFd>, ask: Ask<'_>) -> io::Result<()> {
        let now = Instant::now();
        let fd = if let Some(fd) = *at { fd } else { *at.insert(self.dial(ask, now)?) };
        self.tally.join(ask.expect, 1);
        let Some(connection) = self.connections.get_mut(&fd) else {
            self.tally.crowd.refused += 1;
            return Ok(());
        };
        if let Protocol::Http2(http) = &mut connection.protocol {
            http.request(ask.target, ask.expect, now, &mut connection.out);
        }
        connection.write(&self.epoll, &mut self.tally)
    }

    /// Begins to connect.
    fn dial(&mut self, ask: Ask<'_>, now: Instant) -> io::Result<RawFd> {
        let (protocol, out) = match ask.streams {
            None => (Protocol::Http1(Http1::begun(ask.expect, now)), http1::request(ask.target)),
            Some(_) => (Protocol::Http2(Box::new(Http2::new(0, ask.expect))), http2::requests(ask.target, 0)),
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        self.epoll.add(&stream, EventFlags::IN | EventFlags::OUT)?;
        let fd = stream.as_raw_fd();
        self.connections.insert(fd, Connection { stream, protocol, out });
        Ok(fd)
    }
}

impl Connection {
    /// Writes what there is to be written, and asks for room if it is not enough.
    pub(super) fn write(&mut self, epoll: &Epoll, tally: &mut Tally) -> io::Result<()> {
        if !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    tally.crowd.refused += 1;
                    self.out.clear();
                }
                Err(error) => return Err(error),
            }
        }
        let room = if self.out.is_empty() { EventFlags::empty() } else { EventFlags::OUT };
        epoll.modify(&self.stream, EventFlags::IN | room)
    }
}

/// Not so many that the answers of others wait for long.
const AT_ONCE: usize = 16;
