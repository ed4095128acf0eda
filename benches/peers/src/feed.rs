//! The published events, delivered to all clients of a peer.

use std::{convert::Infallible, sync::Arc};

use crate::{
    control::Command,
    text::{self, FLOOD},
};
use futures_util::{Stream, StreamExt, future, stream};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// Tokio's broadcast channel.
#[derive(Clone)]
pub struct Feed(broadcast::Sender<Item>);

/// A number and its data.
pub type Item = (u64, Arc<str>);

impl Feed {
    pub fn new() -> Self {
        Self(broadcast::channel(4096).0)
    }

    /// Returns the function that executes the commands of a control connection.
    pub fn publisher(&self) -> impl FnMut(Command) + Send + use<> {
        let (sender, mut next) = (self.0.clone(), 0);
        move |command| {
            for _ in 0..command.events {
                let _ = sender.send((next, text::data(next, command.size).into()));
                next += 1;
            }
        }
    }

    /// Returns the events of one client. The stream ends if the client was too slow.
    pub fn watch<E, F: Fn(&Item) -> E>(&self, event: F) -> impl Stream<Item = Result<E, Infallible>> + use<E, F> {
        let items = BroadcastStream::new(self.0.subscribe()).take_while(|item| future::ready(item.is_ok()));
        items.filter_map(move |item| future::ready(item.ok().map(|item| Ok(event(&item)))))
    }
}

/// Returns events as fast as the client reads.
pub fn flood<E>(size: usize, event: impl Fn(&str) -> E) -> impl Stream<Item = Result<E, Infallible>> {
    let texts: Vec<String> = (0..FLOOD).map(|number| text::data(number, size)).collect();
    let mut at = 0;
    stream::repeat_with(move || {
        at = (at + 1) % texts.len();
        Ok(event(&texts[(at + texts.len() - 1) % texts.len()]))
    })
}

/// Returns one event, and then none.
pub fn first<E>(event: E) -> impl Stream<Item = Result<E, Infallible>> {
    stream::iter([Ok(event)]).chain(stream::pending())
}
