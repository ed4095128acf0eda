//! salvo's `sse`.

use std::io;

use crate::control::{self, ANY};
use salvo::{
    Depot, Request, Response, Router, Server, affix_state,
    conn::tcp::TcpAcceptor,
    handler,
    sse::{self, SseEvent},
};
use tokio::net::TcpListener;

use crate::feed::{self, Feed};

pub async fn serve() -> io::Result<()> {
    let (listener, control) = (TcpListener::bind(ANY).await?, TcpListener::bind(ANY).await?);
    control::announce(listener.local_addr()?, control.local_addr()?)?;
    let feed = Feed::new();
    let router = Router::new()
        .hoop(affix_state::inject(feed.clone()))
        .push(Router::with_path("events").get(events))
        .push(Router::with_path("flood").get(flood))
        .push(Router::with_path("first").get(first));
    let acceptor = TcpAcceptor::try_from(listener).map_err(io::Error::other)?;
    tokio::select! {
        () = Server::new(acceptor).serve(router) => Ok(()),
        obeyed = control::obey(control, feed.publisher()) => obeyed,
    }
}

#[handler]
async fn events(depot: &mut Depot, response: &mut Response) {
    if let Ok(feed) = depot.get_typed::<Feed>() {
        sse::stream(response, feed.watch(|(number, data)| SseEvent::default().id(number.to_string()).text(&**data)));
    }
}

#[handler]
async fn flood(request: &mut Request, response: &mut Response) {
    let size = request.query("size").unwrap_or(64);
    sse::stream(response, feed::flood(size, |data| SseEvent::default().text(data)));
}

#[handler]
async fn first(response: &mut Response) {
    sse::stream(response, feed::first(SseEvent::default().id("0").text("first")));
}
