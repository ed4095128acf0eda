//! A stream of strings instead of events.
// remedy: .map(Event::new)

use futures_util::stream;
use tower_sse::Events;

fn main() {
    let _ = Events::new(stream::iter(["one", "two"]));
}
