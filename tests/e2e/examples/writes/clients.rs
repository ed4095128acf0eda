//! Clients that read events of one publish each, or do not read.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// Open streams.
pub(crate) struct Clients {
    streams: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Clients {
    /// Opens this number of streams, and reads their heads.
    pub(crate) fn open(address: SocketAddr, count: usize) -> io::Result<Self> {
        let open = |_| {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n")?;
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let streams = (0..count).map(open).collect::<io::Result<_>>()?;
        Ok(Self { streams, buffer: vec![0; 1 << 20] })
    }

    /// Reads until each stream has an event, which is the end of a chunk. Polls: a client that is woken costs the sender.
    pub(crate) fn read_event(&mut self) -> io::Result<()> {
        let mut open: Vec<_> = self.streams.iter().map(|stream| (stream, [0; 4])).collect();
        while !open.is_empty() {
            let mut error = None;
            open.retain_mut(|(stream, last)| match read_more(stream, &mut self.buffer, last) {
                Ok(is_complete) => !is_complete,
                Err(failed) => error.replace(failed).is_some(),
            });
            error.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// Reads what there is, keeps the last four bytes, and returns whether they end a chunk.
fn read_more(mut stream: &TcpStream, buffer: &mut [u8], last: &mut [u8; 4]) -> io::Result<bool> {
    let read = match stream.read(buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        read => read?,
    };
    for &byte in &buffer[read.saturating_sub(4)..read] {
        last.rotate_left(1);
        last[3] = byte;
    }
    Ok(last == b"\n\n\r\n")
}
