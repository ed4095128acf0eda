//! A client with access to the wire: HTTP/1.1 by hand, so that a clean end is distinguished from any other.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tower_sse_e2e::client::within;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    head: String,
}

/// An open event stream.
pub(crate) struct Stream {
    connection: BufReader<TcpStream>,
    head: String,
    text: String,
    is_over: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// Sends a request, and reads the answer to its end, which must be clean.
pub(crate) async fn request(address: &str, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = Stream::send(address, method, path, headers, body).await;
    let status = stream.head.split(' ').nth(1).unwrap().parse().unwrap();
    stream.rest().await;
    Answer { status, body: stream.text, head: stream.head }
}

impl Stream {
    /// Requests an event stream.
    pub(crate) async fn open(address: &str, path: &str, headers: &[&str]) -> Self {
        let headers = [headers, &["accept: text/event-stream"]].concat();
        let stream = Self::send(address, "GET", path, &headers, "").await;
        assert!(stream.head.starts_with("HTTP/1.1 200 "), "{}", stream.head);
        assert_eq!(header(&stream.head, "content-type"), Some("text/event-stream"));
        stream
    }

    /// Reads on until this text has arrived so many times.
    pub(crate) async fn until_times(&mut self, text: &str, times: usize) {
        let read = async {
            while self.text.matches(text).count() < times {
                assert!(!self.is_over, "it is over before {text:?}: {}", self.text);
                self.chunk().await;
            }
        };
        within(read).await;
    }

    /// Reads on until this text has arrived. Returns everything since the beginning.
    pub(crate) async fn until(&mut self, text: &str) -> &str {
        self.until_times(text, 1).await;
        &self.text
    }

    /// Reads to the end, which must be clean. Returns everything since the beginning.
    pub(crate) async fn rest(&mut self) -> &str {
        let read = async {
            while !self.is_over {
                self.chunk().await;
            }
        };
        within(read).await;
        &self.text
    }

    async fn send(address: &str, method: &str, path: &str, headers: &[&str], body: &str) -> Self {
        let connection = TcpStream::connect(address).await.expect("the server listens");
        let mut connection = BufReader::new(connection);
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(within(connection.read_line(&mut head)).await.unwrap(), 0, "no head: {head}");
        }
        let has_body = header(&head, "transfer-encoding").is_some() || header(&head, "content-length").is_some();
        Self { connection, head, text: String::new(), is_over: !has_body }
    }

    /// Returns the next chunk, or the body of known length.
    async fn chunk(&mut self) {
        let length = header(&self.head, "content-length").map(|length| length.parse().unwrap());
        let (size, end) = match length {
            Some(length) => (length, 0),
            None => {
                let mut line = String::new();
                self.connection.read_line(&mut line).await.expect("the stream ends cleanly");
                (usize::from_str_radix(line.trim_end(), 16).expect("the stream ends cleanly"), 2)
            }
        };
        let mut bytes = vec![0; size + end];
        self.connection.read_exact(&mut bytes).await.expect("the stream ends cleanly");
        self.text.push_str(std::str::from_utf8(&bytes[..size]).unwrap());
        self.is_over = length.is_some() || size == 0;
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}
