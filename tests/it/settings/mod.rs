//! A stream's settings: heartbeats, comments, `retry:`, early ends.

mod comments;
mod early_end;
mod heartbeat;
mod retry;

use std::time::Duration;

use tower_sse::{Comments, Event, Heartbeat, StreamSettings, event_name};

#[test]
fn settings_are_equal_if_all_fields_are() {
    let second = Duration::from_secs(1);
    assert_eq!(Heartbeat::every(second), Heartbeat::from(second));
    assert_ne!(Heartbeat::every(second), Heartbeat::every(2 * second));
    assert_ne!(Heartbeat::every(second), Heartbeat::off());
    assert_ne!(Heartbeat::every(second), Heartbeat::event(second, &event_name!("ping")));

    let settings = || StreamSettings::new().heartbeat(second).retry(second).on_failure(Event::new("x"));
    assert_eq!(settings(), settings());
    assert_ne!(settings(), settings().comments(Comments::Omit));
    assert_ne!(settings(), settings().on_failure(Event::new("y")));
}
