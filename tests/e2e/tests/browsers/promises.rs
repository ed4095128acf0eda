//! Guarantees in each browser, over each protocol.

use std::time::Duration;

use http::Version;
use tower_sse::observe::Reason;
use tower_sse_e2e::{browser::Kind, site::Protocol};

use crate::{
    recipes::WATCHED,
    session::{Session, sessions},
    streams::{LONG, ODD_ID, PING, PINGS, fields},
};

/// The expected report.
macro_rules! entries {
    ($([$($part:expr),+]),+ $(,)?) => { vec![$(vec![$($part),+]),+] };
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn open_fires_before_the_first_event() {
    for session in sessions() {
        assert_eq!(*session.report("open"), entries![["open"], ["message", "first", ""]], "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn events_arrive_unchanged() {
    for session in sessions() {
        let mut last_id = String::new();
        let sent = fields().into_iter().map(|event| {
            if let Some(id) = event.id() {
                id.as_str().clone_into(&mut last_id);
            }
            let mut data = event.data().replace(&"x".repeat(300_000), "300000 times x");
            if session.browser == Kind::Firefox {
                // Chromium omits them, as documented.
                data = data.replace('\0', "");
            }
            vec![event.name().unwrap_or("message").to_owned(), data, last_id.clone()]
        });
        let expected: Vec<_> = [vec!["open".to_owned()]].into_iter().chain(sent).collect();
        assert_eq!(*session.report("fields"), expected, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn comment_heartbeats_dispatch_no_event() {
    for session in sessions() {
        assert_eq!(*session.report("comments"), entries![["open"], ["message", "after five", ""]], "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn named_heartbeat_is_dispatched_and_keeps_the_id() {
    for session in sessions() {
        let beat = || vec!["ping", "", "1"];
        let expected = vec![vec!["open"], vec!["message", "now", "1"], beat(), beat(), beat()];
        assert_eq!(*session.report("ping"), expected, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn browser_reconnects_after_a_clean_end_with_its_last_event_id() {
    for session in sessions() {
        let id = ODD_ID;
        let expected = entries![
            ["open"],
            ["message", "a", "1"],
            ["message", "b", id.as_str()],
            ["error", "connecting"],
            ["open"],
            ["message", "c", id.as_str()],
            ["error", "connecting"],
            ["open"],
            ["message", "d", ""],
            ["error", "connecting"],
            ["open"],
            ["message", "e", ""],
        ];
        assert_eq!(*session.report("resume"), expected, "{session}");

        let sent: Vec<_> = session.visits.of("/events/resume").into_iter().map(|visit| visit.header).collect();
        let header = Some(id.as_str().as_bytes().to_vec());
        assert_eq!(sent, [None, header.clone(), header, None], "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn the_browser_waits_at_least_retry() {
    for session in sessions() {
        let waited = waited(session, "/events/retry");
        println!("{session}: reconnected {waited:?} after an end, with a retry of {LONG:?}");
        assert!(waited >= LONG, "{session}: {waited:?}");
        assert_eq!(*session.report("retry"), there_and_back(), "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn without_retry_chromium_waits_three_seconds_and_firefox_five() {
    for session in sessions() {
        let own = match session.browser {
            Kind::Chromium => Duration::from_secs(3),
            Kind::Firefox => Duration::from_secs(5),
        };
        let waited = waited(session, "/events/default");
        println!("{session}: reconnected {waited:?} after an end, without a retry");
        assert!(waited >= own, "{session}: {waited:?}");
        assert_eq!(*session.report("default"), there_and_back(), "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn browser_does_not_reconnect_after_stop() {
    for session in sessions() {
        let expected = entries![["open"], ["message", "only", ""], ["error", "connecting"], ["error", "closed"]];
        assert_eq!(*session.report("stop"), expected, "{session}");
        // The page was open for longer than any browser waits by default.
        assert_eq!(session.visits.of("/events/stop").len(), 2, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn other_status_or_content_type_closes_the_event_source() {
    for session in sessions() {
        for scenario in ["busy", "json"] {
            assert_eq!(*session.report(scenario), entries![["error", "closed"]], "{session}, {scenario}");
            assert_eq!(session.visits.of(&format!("/events/{scenario}")).len(), 1, "{session}, {scenario}");
        }
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn browser_reconnects_after_later() {
    for session in sessions() {
        let expected = entries![["open"], ["error", "connecting"], ["open"], ["message", "welcome", ""]];
        assert_eq!(*session.report("later"), expected, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn failed_stream_delivers_its_events_and_browser_reconnects() {
    for session in sessions() {
        let expected = entries![
            ["open"],
            ["message", "before", ""],
            ["failed", "sorry", ""],
            ["error", "connecting"],
            ["open"],
            ["message", "before", ""],
            ["failed", "sorry", ""],
            ["error", "connecting"],
            ["error", "closed"],
        ];
        assert_eq!(*session.report("failure"), expected, "{session}");
        let reasons: Vec<_> = session.visits.ends("/events/failure").iter().map(|end| end.reason).collect();
        assert_eq!(reasons, [Reason::Failed, Reason::Panicked], "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn over_http1_a_seventh_stream_waits_and_over_http2_it_does_not() {
    for session in sessions() {
        let (most, version) = match session.protocol {
            Protocol::Http1 => (6, Version::HTTP_11),
            Protocol::Http2 => (7, Version::HTTP_2),
        };
        let visits = session.visits.of("/events/many");
        assert_eq!(visits.len(), 7, "{session}");
        assert!(visits.iter().all(|visit| visit.version == version), "{session}: {visits:?}");
        assert_eq!(session.visits.most_open(), most, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn the_quick_start_shows_message_time_state_and_reconnects() {
    for session in sessions() {
        // State, message, events, reconnects, and whether the time is the sent one.
        let expected = entries![
            ["open", "Hello, SSE!", "1", "0", "true"],
            ["connection lost, reconnecting", "Hello, SSE!", "1", "0", "true"],
            ["open", "Hello, SSE!", "2", "1", "true"],
        ];
        assert_eq!(*session.report("quickstart"), expected, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn tabs_recipe_shares_one_stream_and_hands_it_over() {
    for session in sessions() {
        let mut shown = session.report("share").clone();
        // Either of the tabs may show the event first.
        shown[..2].sort();
        let expected = entries![["shown", "first", "one"], ["shown", "second", "one"], ["shown", "second", "two"]];
        assert_eq!(shown, expected, "{session}");
        assert_eq!(session.visits.of("/events/share").len(), 2, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn watchdog_recipe_reopens_only_when_heartbeats_stop() {
    for session in sessions() {
        let [first, second] = &session.visits.of("/events/watchdog")[..] else { panic!("{session}: not two visits") };
        let after = second.at - first.at;
        let beats = u32::try_from(PINGS - 1).expect("a small number");
        assert!(after >= beats * PING + WATCHED, "{session}: {after:?}");
        // The page closed the first stream before it requested the second.
        assert_eq!(session.visits.ends("/events/watchdog")[0].reason, Reason::ClientGone, "{session}");
    }
}

#[test]
#[ignore = "needs Chromium and Firefox; run by ./tests/run"]
fn reload_recipe_resumes_and_the_newer_header_wins() {
    for session in sessions() {
        let id = ODD_ID;
        let expected = entries![["saved", id.as_str()], ["saved", "newer"], ["saved", "newer"]];
        assert_eq!(*session.report("saved"), expected, "{session}");

        let visits = session.visits.of("/events/saved");
        let resumed: Vec<_> = visits.iter().map(|visit| visit.last_event_id.as_ref()?.to_str()).collect();
        assert_eq!(resumed, [None, Some(id.as_str()), Some("newer")], "{session}");
        let [first, reloaded, reconnected] = &visits[..] else { panic!("{session}: not three visits") };
        assert_eq!(first.query, "", "{session}");
        assert_eq!(reloaded.query, reconnected.query, "{session}");
        assert_eq!(reloaded.header, None, "{session}");
    }
}

/// Returns the time from the end of the first stream to the second request.
fn waited(session: &Session, path: &str) -> Duration {
    session.visits.of(path)[1].at - session.visits.ends(path)[0].at
}

fn there_and_back() -> Vec<Vec<&'static str>> {
    entries![["open"], ["message", "first", ""], ["error", "connecting"], ["open"], ["message", "second", ""]]
}
