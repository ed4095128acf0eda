//! warp's `sse`.

use std::{collections::HashMap, io};

use crate::control::{self, ANY};
use tokio::net::TcpListener;
use warp::{
    Filter,
    sse::{self, Event},
};

use crate::feed::{self, Feed};

pub async fn serve() -> io::Result<()> {
    let (listener, control) = (TcpListener::bind(ANY).await?, TcpListener::bind(ANY).await?);
    control::announce(listener.local_addr()?, control.local_addr()?)?;
    let feed = Feed::new();
    let watched = feed.clone();
    let events = warp::path("events")
        .map(move || sse::reply(watched.watch(|(number, data)| Event::default().id(number.to_string()).data(&**data))));
    let flood = warp::path("flood").and(warp::query()).map(|query: HashMap<String, usize>| {
        sse::reply(feed::flood(query.get("size").copied().unwrap_or(64), |data| Event::default().data(data)))
    });
    let first = warp::path("first").map(|| sse::reply(feed::first(Event::default().id("0").data("first"))));
    tokio::select! {
        () = warp::serve(events.or(flood).or(first)).incoming(listener).run() => Ok(()),
        obeyed = control::obey(control, feed.publisher()) => obeyed,
    }
}
