//! Two branches with streams of two types.
// no remedy: the types of the branches differ before any trait of this crate is asked for; see `Events::boxed`

use std::time::Duration;

use futures_util::stream;
use tower_sse::{Event, Events, Source};

fn events(is_live: bool) -> Events<impl Source> {
    if is_live {
        Events::every(Duration::from_secs(1), || async { Event::new("tick") })
    } else {
        Events::new(stream::iter([Event::new("once")]))
    }
}

fn main() {
    let _ = events(true);
}
