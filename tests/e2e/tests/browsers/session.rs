//! One browser, over one protocol, shows the page once; every test checks the outcome.

use std::{collections::HashMap, fmt, sync::LazyLock, time::Duration};

use tokio::time::timeout;
use tower_sse_e2e::{
    browser::{Browser, Kind},
    certificate::Certificate,
    site::{Protocol, Site},
};

use crate::{
    site::{self, BROKEN, Report, Seen},
    visits::Visits,
};

/// The outcome of a page.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) browser: Kind,
    pub(crate) protocol: Protocol,
    pub(crate) visits: Visits,
    reports: HashMap<String, Report>,
}

/// The four sessions. Each runs once, when it is first needed.
pub(crate) fn sessions() -> impl Iterator<Item = &'static Session> {
    static SESSIONS: [LazyLock<Session>; 4] = [
        LazyLock::new(|| Session::run(Kind::Chromium, Protocol::Http1)),
        LazyLock::new(|| Session::run(Kind::Chromium, Protocol::Http2)),
        LazyLock::new(|| Session::run(Kind::Firefox, Protocol::Http1)),
        LazyLock::new(|| Session::run(Kind::Firefox, Protocol::Http2)),
    ];
    SESSIONS.iter().map(|session| &**session)
}

impl Session {
    /// Returns the entries of this scenario.
    pub(crate) fn report(&self, scenario: &str) -> &Report {
        self.reports.get(scenario).unwrap_or_else(|| panic!("{self}: no report of {scenario}"))
    }

    // One thread: requests are recorded in the order in which the browser sends them.
    #[tokio::main(flavor = "current_thread")]
    async fn run(browser: Kind, protocol: Protocol) -> Self {
        let certificate = Certificate::new().expect("a certificate");
        let seen = Seen::default();
        let site = Site::start(protocol, &certificate, site::router(seen.clone())).await.expect("a server");
        let url = site.origin() + "/";
        let running = Browser::open(browser, &url, &certificate).expect("a browser");
        let done = timeout(LIMIT, seen.done.notified()).await;
        let session = Self { browser, protocol, reports: seen.reports(), visits: seen.visits.clone() };
        // Before the browser is dropped, which prints its output on a panic.
        if let Some(reason) = session.reports.get(BROKEN) {
            panic!("{session}: the page's script failed: {reason:?}");
        }
        assert!(done.is_ok(), "{session}: the page came to no end; {:?}, {:?}", session.reports, session.visits);
        drop(running);
        session
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.browser, self.protocol)
    }
}

/// A page takes some twenty seconds. Far more on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);
