//! A closure of `Events::every` that is not async.
// no remedy: the bound is `Future`, whose message is the standard library's

use std::time::Duration;

use tower_sse::{Event, Events};

fn main() {
    let _ = Events::every(Duration::from_secs(1), || Event::new("tick"));
}
