//! The floor under everything: epoll, one thread, and nothing but `read` and `write`.
//!
//! *limit-E* writes each event to each client separately; *limit-B* writes to each client once for all events of a publish.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd, RawFd},
};

use crate::control::{self, ANY, Command};
use rustix::event::epoll::EventFlags;

use crate::{epoll::Epoll, wire};

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    /// Clients by descriptor.
    clients: HashMap<RawFd, Client>,
    /// The watching clients, side by side.
    watching: Vec<RawFd>,
    control: TcpStream,
    /// The received commands that were not executed yet.
    commands: Vec<u8>,
    next: [u64; 2],
    log: Vec<Vec<u8>>,
    each_event: bool,
    /// The control connection is closed.
    is_over: bool,
}

struct Client {
    stream: TcpStream,
    /// The unsent rest of its data.
    left: Vec<u8>,
    waits_for_room: bool,
}

pub(crate) fn serve(each_event: bool) -> io::Result<()> {
    let (listener, control) = (TcpListener::bind(ANY)?, TcpListener::bind(ANY)?);
    control::announce(listener.local_addr()?, control.local_addr()?)?;
    let (control, _) = control.accept()?;
    control.set_nonblocking(true)?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, EventFlags::IN)?;
    epoll.add(&control, EventFlags::IN)?;
    let (clients, watching) = (HashMap::new(), Vec::new());
    let (next, log, commands, is_over) = ([0; 2], Vec::new(), Vec::new(), false);
    Server { epoll, listener, clients, watching, control, commands, next, log, each_event, is_over }.run()
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            self.epoll.wait(&mut events, None)?;
            for &(fd, flags) in &events {
                self.event(fd, flags)?;
            }
            if self.is_over {
                return Ok(());
            }
        }
    }

    fn event(&mut self, fd: RawFd, flags: EventFlags) -> io::Result<()> {
        if fd == self.control.as_raw_fd() {
            self.obey()
        } else if fd == self.listener.as_raw_fd() {
            self.accept()
        } else {
            self.serve(fd, flags)
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.epoll.add(&stream, EventFlags::IN)?;
            self.clients.insert(stream.as_raw_fd(), Client { stream, left: Vec::new(), waits_for_room: false });
        }
    }

    /// Handles a request, the end of a client, or room for the unsent rest.
    fn serve(&mut self, fd: RawFd, flags: EventFlags) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&fd) else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            client.go_on(&self.epoll)?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let mut request = [0; 1024];
        let Some(read) = client.stream.read(&mut request).ok().filter(|&read| read > 0) else {
            self.clients.remove(&fd);
            self.watching.retain(|&other| other != fd);
            return Ok(());
        };
        let request = String::from_utf8_lossy(&request[..read]);
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        if path == "/flood" {
            return client.flood(&wire::flood(wire::size(query)));
        }
        let mut answer = HEAD.to_vec();
        match path {
            "/first" => answer.extend(wire::chunk(wire::FIRST)),
            "/log" => self.log.iter().for_each(|frame| answer.extend_from_slice(frame)),
            _ => self.watching.push(fd),
        }
        client.left = answer;
        client.go_on(&self.epoll)
    }

    fn obey(&mut self) -> io::Result<()> {
        let mut more = [0; 4096];
        let read = self.control.read(&mut more)?;
        self.commands.extend_from_slice(&more[..read]);
        while let Some(end) = self.commands.iter().position(|&byte| byte == b'\n') {
            let line: Vec<_> = self.commands.drain(..=end).collect();
            if let Some(command) = Command::parse(&String::from_utf8_lossy(&line)) {
                self.publish(command);
            }
        }
        self.is_over = read == 0;
        Ok(())
    }

    fn publish(&mut self, command: Command) {
        let first = self.next[usize::from(command.to_log)];
        self.next[usize::from(command.to_log)] += command.events;
        if command.to_log {
            let frames = wire::frames::<Vec<u8>>(first, command);
            self.log.extend(frames.iter().map(|frame| wire::chunk(frame)));
            return;
        }
        if !self.each_event {
            return self.send(&wire::chunk(&wire::events(first, command)));
        }
        for number in first..self.next[0] {
            self.send(&wire::chunk(&wire::events(number, Command::new(false, 1, command.size))));
        }
    }

    fn send(&self, chunk: &[u8]) {
        for fd in &self.watching {
            if let Some(client) = self.clients.get(fd) {
                // The client detects missing bytes.
                let _ = (&client.stream).write(chunk);
            }
        }
    }
}

impl Client {
    /// Sends as much of the rest as possible.
    fn go_on(&mut self, epoll: &Epoll) -> io::Result<()> {
        while !self.left.is_empty() {
            match (&self.stream).write(&self.left) {
                Ok(written) => drop(self.left.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The end of the connection is detected elsewhere.
                Err(_) => self.left.clear(),
            }
        }
        let waits = !self.left.is_empty();
        if waits != std::mem::replace(&mut self.waits_for_room, waits) {
            let room = if waits { EventFlags::OUT } else { EventFlags::empty() };
            epoll.modify(&self.stream, EventFlags::IN | room)?;
        }
        Ok(())
    }

    /// Serves one client alone, until it has left.
    fn flood(&mut self, events: &[u8]) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        let chunk = wire::chunk(events);
        let mut sent = self.stream.write_all(HEAD);
        while sent.is_ok() {
            sent = self.stream.write_all(&chunk);
        }
        self.stream.set_nonblocking(true)
    }
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\n\
    x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n";
