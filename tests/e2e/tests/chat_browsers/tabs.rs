//! The content of the tabs, and the commands for them: through a server that is always running, beside the chat's.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderName, header::ACCESS_CONTROL_ALLOW_ORIGIN},
    response::IntoResponse,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use tower_sse_e2e::client::LIMIT;

/// The tabs of a browser.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tabs {
    /// Each page that was loaded, in this order. The last report of a page may arrive after the first of its successor.
    pages: Arc<watch::Sender<Vec<Page>>>,
    orders: Arc<watch::Sender<HashMap<String, Vec<Value>>>>,
}

/// A page in a tab, until the tab is reloaded.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Page {
    tab: usize,
    load: String,
    pub(crate) state: String,
    pub(crate) lines: Vec<String>,
}

impl Tabs {
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/report", post(report))
            .route("/orders/{load}/{number}", get(order))
            .with_state(self.clone())
    }

    /// Waits until each tab shows the expected content.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Page) -> bool) {
        let mut pages = self.pages.subscribe();
        let all = pages.wait_for(|pages| (0..TABS).all(|tab| newest(pages, tab).is_some_and(&is_so)));
        let came = timeout(LIMIT, all).await.is_ok();
        assert!(came, "{what}: it does not come; {:#?}", (0..TABS).map(|tab| self.page(tab)).collect::<Vec<_>>());
    }

    /// Waits until the first tab has its page.
    pub(crate) async fn until_first(&self) {
        let mut pages = self.pages.subscribe();
        let came = timeout(LIMIT, pages.wait_for(|pages| newest(pages, 0).is_some())).await.is_ok();
        assert!(came, "the browser shows no page");
    }

    /// Reloads a tab and waits until it has its new page.
    pub(crate) async fn reload(&self, tab: usize) {
        let before = self.page(tab).map(|page| page.load);
        self.order(tab, json!(["reload"]));
        let mut pages = self.pages.subscribe();
        let is_new = |pages: &Vec<Page>| newest(pages, tab).map(|page| &page.load) != before.as_ref();
        let came = timeout(LIMIT, pages.wait_for(is_new)).await.is_ok();
        assert!(came, "tab {tab} is not reloaded");
    }

    /// Sends a command to the tab's page.
    pub(crate) fn order(&self, tab: usize, order: Value) {
        let page = self.page(tab).expect("the tab is open");
        self.orders.send_modify(|orders| orders.entry(page.load).or_default().push(order));
    }

    pub(crate) fn page(&self, tab: usize) -> Option<Page> {
        newest(&self.pages.borrow(), tab).cloned()
    }
}

fn newest(pages: &[Page], tab: usize) -> Option<&Page> {
    pages.iter().rfind(|page| page.tab == tab)
}

async fn report(State(tabs): State<Tabs>, page: String) -> impl IntoResponse {
    let page: Page = serde_json::from_str(&page).expect("the page has the expected form");
    tabs.pages.send_modify(|pages| match pages.iter_mut().find(|known| known.load == page.load) {
        Some(known) => *known = page,
        None => pages.push(page),
    });
    [FOR_EVERY_ORIGIN]
}

/// Returns the command of this number, when there is one.
async fn order(State(tabs): State<Tabs>, Path((load, number)): Path<(String, usize)>) -> impl IntoResponse {
    let mut orders = tabs.orders.subscribe();
    let of_page =
        |orders: &HashMap<String, Vec<Value>>| orders.get(&load).and_then(|orders| orders.get(number)).cloned();
    let order = orders.wait_for(|orders| of_page(orders).is_some()).await.ok().and_then(|orders| of_page(&orders));
    ([FOR_EVERY_ORIGIN], Json(order))
}

/// The pages are from another server.
const FOR_EVERY_ORIGIN: (HeaderName, &str) = (ACCESS_CONTROL_ALLOW_ORIGIN, "*");

/// The number of tabs.
pub(crate) const TABS: usize = 3;
