//! curl, reading an event stream.

use std::{io, process::Stdio};

use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout, Command},
};
use tower_sse::decode::{Decoder, Item};

/// A curl that ends when it is dropped.
pub(crate) struct Client {
    curl: Child,
    output: ChildStdout,
    decoder: Decoder,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn open(options: &[&str], url: &str) -> io::Result<Self> {
        let mut curl = Command::new("curl")
            .args(["-q", "--silent", "--show-error", "--no-buffer", "--header", "accept: text/event-stream"])
            .args(options)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = curl.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { curl, output, decoder: Decoder::new(), read: Vec::new() })
    }

    /// Returns the next item that a client acts on, comments included, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        loop {
            let mut input = &self.read[..];
            let item = self.decoder.decode(&mut input).expect("an event stream");
            let taken = self.read.len() - input.len();
            self.read.drain(..taken);
            if item.is_some() {
                return item;
            }
            if self.output.read_buf(&mut self.read).await.expect("curl's output") == 0 {
                return None;
            }
        }
    }

    /// Returns the data of the next event.
    pub(crate) async fn event(&mut self) -> Option<String> {
        loop {
            if let Item::Event(message) = self.next().await? {
                return Some(message.data().to_owned());
            }
        }
    }

    /// Breaks the connection, as a client does whose page is closed.
    pub(crate) async fn leave(mut self) {
        self.curl.kill().await.expect("curl runs");
    }
}
