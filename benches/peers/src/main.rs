//! One of the peers: `tower-sse-peers axum|axum-graceful|actix|warp|salvo [WORKERS]`.
//!
//! Each is written as its own documentation does it: tokio's broadcast channel for many clients, an event built for each
//! of them out of the text that they share.

mod actix;
mod axum;
#[allow(dead_code, reason = "its other half is the driver's")]
#[path = "../../src/control.rs"]
mod control;
mod feed;
mod salvo;
#[path = "../../src/text.rs"]
mod text;
mod warp;

use std::{env, io};

use tokio::runtime;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let peer = arguments.next().unwrap_or_default();
    let workers = arguments.next().and_then(|workers| workers.parse().ok()).unwrap_or(1);
    if peer == "actix" {
        return actix::serve(workers);
    }
    let runtime = match workers {
        1 => runtime::Builder::new_current_thread().enable_all().build()?,
        _ => runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?,
    };
    runtime.block_on(async {
        match peer.as_str() {
            "axum" => axum::serve(false).await,
            "axum-graceful" => axum::serve(true).await,
            "warp" => warp::serve().await,
            "salvo" => salvo::serve().await,
            _ => Err(io::Error::other("which peer: axum, axum-graceful, actix, warp, salvo")),
        }
    })
}
