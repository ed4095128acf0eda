//! A server: another program, on a core of its own, and what it costs.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{control, text};
use rustix::thread::{CpuSet, sched_setaffinity};

/// A server that runs until this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    publisher: Publisher,
    /// The number of events published in the watched topic, and in the log.
    pub(crate) published: [u64; 2],
}

/// The control connection for publishes.
enum Publisher {
    Command(TcpStream),
    /// As nchan has it: a request for each event.
    Post(TcpStream),
}

impl Process {
    /// Starts it, on this core if one is given, and waits until it says where it is.
    pub(crate) fn start(mut command: Command, core: Option<usize>) -> io::Result<Self> {
        let mut child = on_core(core, || command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn())?;
        match connect(&mut child) {
            Ok((address, control)) => {
                Ok(Self { child, address, publisher: Publisher::Command(control), published: [0; 2] })
            }
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Starts one that is at this address and takes events by POST.
    pub(crate) fn start_at(mut command: Command, core: Option<usize>, address: SocketAddr) -> io::Result<Self> {
        let child = on_core(core, || command.stdin(Stdio::null()).stdout(Stdio::null()).spawn())?;
        for _ in 0..200 {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_nodelay(true)?;
                return Ok(Self { child, address, publisher: Publisher::Post(stream), published: [0; 2] });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut child = child;
        child.kill()?;
        child.wait()?;
        Err(io::Error::other("it does not take connections"))
    }

    /// Has it publish. Numbers go on from one call to the next.
    pub(crate) fn publish(&mut self, command: control::Command) -> io::Result<()> {
        let published = &mut self.published[usize::from(command.to_log)];
        let numbers = *published..*published + command.events;
        *published = numbers.end;
        match &mut self.publisher {
            Publisher::Command(stream) => stream.write_all(command.line().as_bytes()),
            Publisher::Post(stream) => {
                let topic = if command.to_log { "log" } else { "events" };
                numbers.into_iter().try_for_each(|number| post(stream, topic, &text::data(number, command.size)))
            }
        }
    }

    /// CPU time so far, of all its threads and of all processes that it started.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for process in self.processes()? {
            for task in fs::read_dir(format!("/proc/{process}/task"))? {
                // A thread can end between the two looks.
                let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                nanoseconds += stat.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Memory that is in use, in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let mut kilobytes = 0;
        for process in self.processes()? {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
            kilobytes += line.split_ascii_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0);
        }
        Ok(kilobytes * 1024)
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        let id = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(id, rustix::process::Signal::TERM)?)
    }

    /// Returns `true` if it ends within this time.
    pub(crate) fn ends_within(&mut self, at_most: Duration) -> io::Result<bool> {
        let until = std::time::Instant::now() + at_most;
        while self.child.try_wait()?.is_none() {
            if std::time::Instant::now() > until {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(true)
    }

    fn processes(&self) -> io::Result<Vec<u32>> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let mut all: Vec<u32> = children.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect();
        all.push(id);
        Ok(all)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = match self.publisher {
            // Some wait half a minute for their clients when asked to end.
            Publisher::Command(_) => self.child.kill(),
            // nginx has to end its workers itself.
            Publisher::Post(_) => {
                let id = rustix::process::Pid::from_child(&self.child);
                rustix::process::kill_process(id, rustix::process::Signal::TERM).map_err(Into::into)
            }
        };
        let _ = self.child.wait();
    }
}

/// This thread runs on this core from here on, and so does what it starts.
pub(crate) fn pin(core: Option<usize>) -> io::Result<()> {
    let mut set = CpuSet::new();
    match core {
        Some(core) => set.set(core),
        None => (0..std::thread::available_parallelism()?.get().max(2)).for_each(|core| set.set(core)),
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Returns an address that was unused just now.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn on_core<T>(core: Option<usize>, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    pin(core)?;
    let started = start();
    pin(Some(LOAD_CORE))?;
    started
}

fn connect(child: &mut Child) -> io::Result<(SocketAddr, TcpStream)> {
    let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let Some(ports) = line.strip_prefix("ready ") else { continue };
        let mut ports = ports.split(' ').filter_map(|port| port.parse().ok());
        if let (Some(server), Some(control)) = (ports.next(), ports.next()) {
            let control = TcpStream::connect((Ipv4Addr::LOCALHOST, control))?;
            control.set_nodelay(true)?;
            return Ok((SocketAddr::from((Ipv4Addr::LOCALHOST, server)), control));
        }
    }
    Err(io::Error::other("it ended before it said where it is"))
}

/// Waits for the answer, of which only that it comes is of interest: pipelined requests end the connection.
fn post(stream: &mut TcpStream, topic: &str, data: &str) -> io::Result<()> {
    let length = data.len();
    let post = format!("POST /publish/{topic} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{data}");
    stream.write_all(post.as_bytes())?;
    match stream.read(&mut [0; 4096])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The cores of servers and of the load.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;
