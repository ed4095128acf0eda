//! Chromium and Firefox in the `chat` example: three tabs that are reloaded, lose the connection, and reconnect.
//!
//! Their pages are the example's own, with an additional script that reports their content.

#![cfg(test)]

mod door;
mod tabs;

use std::ops::RangeInclusive;

use axum::body::Body;
use http::{Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tower_sse_e2e::{
    browser::{Browser, Kind},
    certificate::Certificate,
    example::Example,
    site::{Protocol, Site},
};

use crate::{
    door::Door,
    tabs::{TABS, Tabs},
};

#[tokio::test]
#[ignore = "needs Chromium; run by ./tests/run"]
async fn each_tab_of_chromium_shows_each_line_once() {
    each_tab_shows_each_line_once(Kind::Chromium).await;
}

#[tokio::test]
#[ignore = "needs Firefox; run by ./tests/run"]
async fn each_tab_of_firefox_shows_each_line_once() {
    each_tab_shows_each_line_once(Kind::Firefox).await;
}

async fn each_tab_shows_each_line_once(kind: Kind) {
    let mut room = Room::enter(kind).await;

    // All tabs are connected.
    room.say(1..=200).await;
    room.all_show(200).await;

    // Each tab is reloaded while lines arrive.
    for tab in 0..TABS {
        let from = 201 + 100 * tab;
        let ((), ()) = tokio::join!(room.say(from..=from + 99), room.tabs.reload(tab));
    }
    room.all_show(500).await;

    // All tabs are offline, and reconnect.
    room.door.shut();
    room.tabs.until("the tabs see that they are offline", |page| page.state == "connecting").await;
    room.say(501..=800).await;
    room.open_door();
    room.all_show(800).await;

    // One tab sends a line, one is reloaded as soon as it has reconnected, and no other line arrives meanwhile.
    room.tabs.order(0, json!(["say", "801"]));
    room.tabs.reload(1).await;
    room.all_show(801).await;

    room.say(802..=1000).await;
    room.all_show(1000).await;

    // The restarted chat does not know their ids: each receives a gap, once.
    room.restart().await;
    room.say(1001..=1010).await;
    room.open_door();
    let before = (1..=1000).map(|number| number.to_string()).chain(["gap".to_owned()]);
    let all: Vec<_> = before.chain((1001..=1010).map(|number| number.to_string())).collect();
    room.tabs.until("lines of the new run", |page| page.lines.len() >= all.len()).await;
    room.tabs.reload(2).await;
    room.say(1011..=1011).await;
    room.tabs.until("one more", |page| page.lines.last().is_some_and(|line| line == "1011")).await;
    for tab in 0..TABS {
        let lines = room.tabs.page(tab).expect("the tab is open").lines;
        assert_eq!(lines[..lines.len() - 1], all, "tab {tab}");
    }
}

/// A browser with three tabs in a room.
struct Room {
    tabs: Tabs,
    door: Door,
    chat: Example,
    client: Client<HttpConnector, Body>,
    // The browser is dropped before the servers.
    _browser: Browser,
    _control: Site,
}

impl Room {
    async fn enter(kind: Kind) -> Self {
        let certificate = Certificate::new().expect("a certificate");
        let tabs = Tabs::default();
        let control = Site::start(Protocol::Http1, &certificate, tabs.router()).await.expect("a server");
        let script = format!("const CONTROL = \"{}\";\n{}", control.origin(), include_str!("spy.js"));
        let mut door = Door::new(script).expect("a port");
        let chat = Example::start("chat").await.expect("the example");
        door.open(chat.url("")).expect("the port");

        let browser = Browser::open(kind, &door.url("/rooms/lobby?as=tab-0"), &certificate).expect("a browser");
        tabs.until_first().await;
        tabs.order(0, json!(["open", [["1", "?as=tab-1"], ["2", "?as=tab-2"]]]));
        tabs.until("three tabs", |page| page.state == "open").await;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { tabs, door, chat, client, _browser: browser, _control: control }
    }

    /// Sends these numbers, past the door.
    async fn say(&self, numbers: RangeInclusive<usize>) {
        for number in numbers {
            let request = Request::post(self.chat.url("/rooms/lobby?as=test")).body(number.to_string().into());
            let response = self.client.request(request.expect("the request is valid")).await.expect("the chat is up");
            assert_eq!(response.status(), StatusCode::NO_CONTENT);
        }
    }

    /// Asserts that each tab shows all lines up to here, in order, and none twice.
    async fn all_show(&self, last: usize) {
        let what = format!("each tab shows all up to {last}");
        self.tabs.until(&what, |page| page.lines.last() == Some(&last.to_string())).await;
        let all: Vec<_> = (1..=last).map(|number| number.to_string()).collect();
        for tab in 0..TABS {
            assert_eq!(self.tabs.page(tab).expect("the tab is open").lines, all, "tab {tab}");
        }
    }

    fn open_door(&mut self) {
        self.door.open(self.chat.url("")).expect("the port is still ours");
    }

    /// Behind the closed door.
    async fn restart(&mut self) {
        self.door.shut();
        self.chat = Example::start("chat").await.expect("the example");
    }
}
