//! Connections with flat writes, with the lines of `docs/serving.md`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// A connection without vectored writes: hyper copies what it sends into one buffer.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests create it")]
pub struct Flat<I>(pub I);

impl<I: AsyncRead + Unpin> AsyncRead for Flat<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

// `is_write_vectored` remains `false`, its default.
impl<I: AsyncWrite + Unpin> AsyncWrite for Flat<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A listener of such connections, for `axum::serve`.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests create it")]
pub struct FlatListener<L>(pub L);

impl<L: Listener> Listener for FlatListener<L> {
    type Io = Flat<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, peer) = self.0.accept().await;
        (Flat(io), peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

// For tonic.
impl<I: Connected> Connected for Flat<I> {
    type ConnectInfo = I::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.connect_info()
    }
}
