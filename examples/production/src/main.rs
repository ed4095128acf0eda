//! A production service with topics: a page, an API and event streams, with logins, limits, a drain, metrics and logs.
//!
//! ```sh
//! cargo run -p tower-sse-example-production
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/events
//! curl http://127.0.0.1:3000/metrics
//! ```
//!
//! The files:
//!
//! | | |
//! |---|---|
//! | `settings` | settings from the environment, and errors for invalid values |
//! | `app` | the routes, and their shared state |
//! | `live` | **the event streams**: topics, limits, access, observers |
//! | `client`, `session` | the client of a request; the signed cookie |
//! | `notes` | the API that publishes |
//! | `posts` | rate limits of logins and publishes |
//! | `health` | `/healthz`, `/readyz`, `/metrics` |
//! | `serve`, `socket` | the accept loop: timeouts, age and options of each connection |
//! | `stop` | signals |

mod app;
mod client;
mod health;
mod live;
mod notes;
mod posts;
mod serve;
mod session;
mod settings;
mod socket;
mod stop;

use std::{pin::pin, process::ExitCode, sync::Arc, time::Duration};

use tokio::{net::TcpListener, select, sync::oneshot, time::sleep};
use tower_sse::BoxError;
use tracing::{error, info, warn};

use crate::{app::App, settings::Settings, stop::Signals};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(settings.log.clone()).init();
    std::panic::set_hook(Box::new(|panic| error!(%panic, "panic")));
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error, "cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal arrives, then stops in order: readiness, new connections, streams, server.
async fn run(settings: Settings) -> Result<(), BoxError> {
    let prometheus = health::install()?;
    let mut signals = Signals::new()?;
    let app = Arc::new(App::new(&settings, prometheus)?);
    tokio::spawn(Arc::clone(&app).publish_status());

    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", settings.listen))?;
    println!("listening on http://{}/", listener.local_addr()?);
    info!(address = %listener.local_addr()?, "listening");

    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve::serve(listener, app::router(&app, &settings), &settings, async { drop(stopped.await) });
    let mut server = pin!(server);
    select! {
        () = &mut server => return Ok(()),
        signal = signals.next() => info!(signal, "leaving"),
    }

    app.leave();
    let end = async {
        // `/readyz` fails from here on, so that the load balancer routes elsewhere. New requests are still served.
        select! {
            () = &mut server => return None,
            () = sleep(settings.leave_after) => drop(stop),
        }
        let (drained, _) = app.streams.drain_with_server(server, settings.drain).await;
        Some(drained)
    };
    select! {
        drained = end => if let Some(drained) = drained {
            info!(drained.ended, drained.aborted, "left");
        },
        signal = signals.next() => warn!(signal, "left at once"),
    }
    Ok(())
}

/// `EX_CONFIG` of `sysexits.h`: a restart would not help.
const BAD_SETTINGS: u8 = 78;

/// The interval of events in the public topic.
const STATUS_EVERY: Duration = Duration::from_secs(2);
