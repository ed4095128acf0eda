//! axum's `Sse`.

use std::{collections::HashMap, future::IntoFuture, io};

use crate::control::{self, ANY};
use axum::{
    Router,
    extract::{Query, State},
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
    routing::get,
    serve::ListenerExt,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::feed::{self, Feed};

/// Serves, with axum's graceful shutdown on SIGTERM if that is wanted: it costs each connection something.
pub async fn serve(graceful: bool) -> io::Result<()> {
    let (listener, control) = (TcpListener::bind(ANY).await?, TcpListener::bind(ANY).await?);
    control::announce(listener.local_addr()?, control.local_addr()?)?;
    let feed = Feed::new();
    let app = Router::new()
        .route("/events", get(events))
        .route("/flood", get(flood))
        .route("/first", get(async || Sse::new(feed::first(Event::default().id("0").data("first")))))
        .with_state(feed.clone());
    let listener = listener.tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    let (server, obeyed) = (axum::serve(listener, app), control::obey(control, feed.publisher()));
    if graceful {
        let mut terminate = signal(SignalKind::terminate())?;
        let server = server.with_graceful_shutdown(async move { terminate.recv().await.unwrap_or_default() });
        return tokio::select! { served = server.into_future() => served, obeyed = obeyed => obeyed };
    }
    tokio::select! { served = server.into_future() => served, obeyed = obeyed => obeyed }
}

async fn events(State(feed): State<Feed>) -> impl IntoResponse {
    Sse::new(feed.watch(|(number, data)| Event::default().id(number.to_string()).data(data)))
}

async fn flood(Query(query): Query<HashMap<String, usize>>) -> impl IntoResponse {
    Sse::new(feed::flood(query.get("size").copied().unwrap_or(64), |data| Event::default().data(data)))
}
