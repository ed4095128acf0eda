//! A `?` on an error that does not convert into `Refusal` by itself.
// no remedy: `?` requires `From` of the standard library, whose message is its own; the list of conversions names `BoxError`

use std::time::Duration;

use tower_sse::{Event, Events, Refusal, Source};

async fn events() -> Result<Events<impl Source>, Refusal> {
    let port: u16 = "80".parse::<u16>()?;
    Ok(Events::every(Duration::from_secs(1), move || async move { Event::new(port.to_string()) }))
}

fn main() {
    drop(events());
}
