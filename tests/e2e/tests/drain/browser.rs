//! Chromium, whose stream ends: it reconnects, to the same process or to the next one on the same port.

use tokio::process::Command;
use tower_sse_e2e::{
    browser::{Browser, Kind},
    certificate::Certificate,
    process::Process,
};

async fn news(name: &str, port: &str) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_news"));
    command.env("NAME", name).env("PORT", port);
    let mut process = Process::start(command).unwrap();
    let address = process.line("listening on ").await.unwrap();
    (process, address)
}

async fn report(process: &mut Process, from: &str) -> Vec<String> {
    serde_json::from_str(&process.line(from).await.unwrap()).unwrap()
}

/// Returns whether these are the events of one process without loss.
fn is_whole(events: &[String], name: &str) -> bool {
    let numbers: Option<Vec<u64>> = events.iter().map(|event| event.strip_prefix(name)?.trim().parse().ok()).collect();
    numbers.is_some_and(|numbers| !numbers.is_empty() && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]))
}

#[tokio::test]
#[ignore = "needs chromium; run by ./tests/run"]
async fn browser_resumes_after_a_drain_without_loss() {
    let certificate = Certificate::new().unwrap();
    let (mut first, address) = news("first", "0").await;
    let _browser = Browser::open(Kind::Chromium, &format!("http://{address}/"), &certificate).unwrap();

    // The stream was ended, events were published, and the page reconnected.
    let seen = report(&mut first, "same ").await;
    assert_eq!(seen[0], "subscribed");
    assert!(seen.len() >= 20 && is_whole(&seen[1..], "first"), "{seen:?}");

    // The process ends, and another has its port. Its log is another one: a gap is sent, and all of the log follows.
    first.signal("TERM").await.unwrap();
    assert!(first.ended().await.unwrap().success());
    let port = address.rsplit_once(':').unwrap().1;
    let (mut second, _) = news("second", port).await;
    let seen = report(&mut second, "next ").await;
    let gap = seen.iter().position(|event| event == "gap").expect("the page receives a gap");
    assert!(is_whole(&seen[1..gap], "first"), "{seen:?}");
    assert!(is_whole(&seen[gap + 1..], "second"), "{seen:?}");
    assert_eq!(seen[gap + 1], "second 1", "all retained events");
}
