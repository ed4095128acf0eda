//! The servers that are ours: three floors, and the crate, each in several forms.

mod bodies;
mod epoll;
mod form;
mod hyper_floor;
mod leaving;
mod plain;
mod us;

use std::io;

use form::Form;

use crate::control::{self, ANY};
use tokio::{net::TcpListener, runtime};

/// Which one, as `serve` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served<'a> {
    pub(crate) name: &'a str,
    pub(crate) workers: usize,
    pub(crate) http2: bool,
}

/// Serves until the control connection is closed.
pub(crate) fn serve(served: Served<'_>) -> io::Result<()> {
    match served.name {
        "limit-E" => epoll::serve(true),
        "limit-B" => epoll::serve(false),
        _ => {
            let (base, form) = Form::of(served);
            // The other runtimes of `cores` are started where connections are accepted.
            let workers = if form.cores > 1 { 1 } else { served.workers };
            runtime(workers)?.block_on(serve_hyper(base, form))
        }
    }
}

async fn serve_hyper(base: &str, form: Form) -> io::Result<()> {
    let (listener, control) = (TcpListener::bind(ANY).await?, TcpListener::bind(ANY).await?);
    control::announce(listener.local_addr()?, control.local_addr()?)?;
    match base {
        "hyper" => hyper_floor::serve(listener, control, form).await,
        "us" => us::serve(listener, control, form).await,
        "us-streams" => leaving::serve(listener, control, form).await,
        name => Err(io::Error::other(format!("no server is called {name:?}"))),
    }
}

/// One thread, or so many that share their work.
pub(crate) fn runtime(workers: usize) -> io::Result<runtime::Runtime> {
    match workers {
        1 => runtime::Builder::new_current_thread().enable_all().build(),
        _ => runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}
