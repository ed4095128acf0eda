//! The load: so many clients of one server, in one thread, each event of each of them checked.
//!
//! The load works with epoll alone. A client is a parser of HTTP and one of event streams, both made for nothing but this.

mod check;
mod http1;
mod http2;
mod storm;

use std::{
    collections::HashMap,
    hint,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsRawFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rustix::event::epoll::EventFlags;

pub(crate) use check::{Expect, Tally};
use http1::Http1;
use http2::Http2;

use crate::epoll::Epoll;

/// Clients of one server.
pub(crate) struct Load {
    address: SocketAddr,
    epoll: Epoll,
    connections: HashMap<RawFd, Connection>,
    pub(crate) tally: Tally,
    buffer: Vec<u8>,
    ready: Vec<(RawFd, EventFlags)>,
}

struct Connection {
    stream: TcpStream,
    protocol: Protocol,
    /// The bytes that are to be written as soon as that is possible.
    out: Vec<u8>,
}

enum Protocol {
    Http1(Http1),
    Http2(Box<Http2>),
}

/// The requests of clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) target: &'a str,
    pub(crate) expect: Expect,
    /// Over HTTP/2, so many in one connection.
    pub(crate) streams: Option<u32>,
}

impl Load {
    pub(crate) fn new(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            address,
            epoll: Epoll::new()?,
            connections: HashMap::new(),
            tally: Tally::default(),
            buffer: vec![0; 256 * 1024],
            ready: Vec::with_capacity(256),
        })
    }

    /// Opens so many streams, and waits until each has its head.
    pub(crate) fn open(&mut self, streams: usize, ask: Ask<'_>) -> io::Result<()> {
        let in_one = ask.streams.unwrap_or(1) as usize;
        let mut left = streams / in_one;
        while left > 0 {
            // Not more at once than a short queue of connections has room for.
            let some = left.min(64);
            let want = self.tally.heads + (some * in_one) as u64;
            for _ in 0..some {
                self.connect(ask)?;
            }
            left -= some;
            self.run_until(LONG, |tally| tally.heads >= want)?;
        }
        Ok(())
    }

    /// Waits until every stream has had as many events as this since the beginning of its numbers.
    pub(crate) fn wait_for(&mut self, through: u64) -> io::Result<()> {
        self.tally.aim(through);
        self.run_until(LONG, |tally| tally.behind == 0)
    }

    /// Reads what comes, until this holds.
    pub(crate) fn run_until(&mut self, at_most: Duration, done: impl Fn(&Tally) -> bool) -> io::Result<()> {
        let until = Instant::now() + at_most;
        while !done(&self.tally) {
            if Instant::now() > until {
                return Err(io::Error::other(format!("the server is late: {:?}", self.tally)));
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Reads what comes for so long.
    pub(crate) fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn()?;
        }
        Ok(())
    }

    /// All clients leave.
    pub(crate) fn close(&mut self) {
        self.connections.clear();
        self.tally = Tally::default();
    }

    fn connect(&mut self, ask: Ask<'_>) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let (protocol, request) = match ask.streams {
            None => (Protocol::Http1(Http1::new(ask.expect)), http1::request(ask.target)),
            Some(streams) => {
                (Protocol::Http2(Box::new(Http2::new(streams, ask.expect))), http2::requests(ask.target, streams))
            }
        };
        stream.write_all(&request)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(&stream, EventFlags::IN)?;
        self.tally.join(ask.expect, u64::from(ask.streams.unwrap_or(1)));
        self.connections.insert(stream.as_raw_fd(), Connection { stream, protocol, out: Vec::new() });
        Ok(())
    }

    /// Reads what there is.
    ///
    /// The loop never sleeps: a server whose clients are elsewhere does not pay for waking them, and so does not here.
    fn turn(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.epoll.wait(&mut self.ready, Some(Duration::ZERO))?;
        if self.ready.is_empty() {
            while begun.elapsed() < PAUSE {
                hint::spin_loop();
            }
            return Ok(());
        }
        self.tally.now = Instant::now();
        self.read()?;
        BUSY.fetch_add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        for &(fd, flags) in &self.ready {
            let Some(connection) = self.connections.get_mut(&fd) else { continue };
            if flags.contains(EventFlags::OUT) {
                connection.write(&self.epoll, &mut self.tally)?;
            }
            let read = match connection.stream.read(&mut self.buffer) {
                Ok(0) => {
                    connection.protocol.close(&mut self.tally)?;
                    self.connections.remove(&fd);
                    continue;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset && self.tally.crowd.may_end => {
                    connection.protocol.close(&mut self.tally)?;
                    self.connections.remove(&fd);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset && connection.protocol.waiting() > 0 => {
                    self.tally.crowd.refused += connection.protocol.waiting();
                    self.connections.remove(&fd);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let bytes = &self.buffer[..read];
            match &mut connection.protocol {
                Protocol::Http1(http) => http.feed(bytes, &mut self.tally)?,
                Protocol::Http2(http) => http.feed(bytes, &connection.stream, &mut self.tally)?,
            }
        }
        Ok(())
    }
}

impl Protocol {
    /// The number of streams that are measured and have no event.
    fn waiting(&self) -> usize {
        match self {
            Self::Http1(http) => http.waiting(),
            Self::Http2(http) => http.waiting(),
        }
    }

    /// The connection has ended.
    fn close(&self, tally: &mut Tally) -> io::Result<()> {
        match self {
            Self::Http1(http) => http.close(tally),
            Self::Http2(http) => http.close(tally),
        }
    }
}

/// For how many seconds this process had something to read so far.
#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
pub(crate) fn busy_seconds() -> f64 {
    BUSY.load(Ordering::Relaxed) as f64 / 1e9
}

static BUSY: AtomicU64 = AtomicU64::new(0);

/// Between two looks at what there is: epoll's lock is the server's too.
const PAUSE: Duration = Duration::from_micros(5);

/// No server takes as long.
const LONG: Duration = Duration::from_secs(30);
