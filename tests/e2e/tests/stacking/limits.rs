//! `ConcurrencyLimitLayer`, `LoadShedLayer` and `BufferLayer`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{error_handling::HandleErrorLayer, routing::get};
use futures_util::future::join_all;
use http::{StatusCode, Version};
use http_body_util::Empty;
use tokio::sync::Barrier;
use tower::{
    BoxError, ServiceBuilder,
    buffer::BufferLayer,
    limit::ConcurrencyLimitLayer,
    load_shed::{LoadShedLayer, error::Overloaded},
};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::*;

/// A site whose page never completes.
fn busy_site() -> Router {
    Router::new().route("/", get(std::future::pending::<()>))
}

/// axum's layers must be infallible.
async fn overloaded(_: BoxError) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn open_stream_holds_no_permit_on_either_side() {
    let outside: Router = site().layer(events()).layer(ConcurrencyLimitLayer::new(1)).with_state(());
    let inside = site().layer(ConcurrencyLimitLayer::new(1)).layer(events());
    for app in [outside, inside] {
        let mut open = Vec::new();
        for _ in 0..10 {
            open.push(ask(&app, for_events()).now_or_never().expect("at once").into_body());
        }
        assert!(open.iter_mut().all(|body| ready_text(body) == ONE_EVENT));
        assert_eq!(ask(&app, for_page()).now_or_never().expect("at once").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn limit_outside_holds_a_permit_until_the_answer() {
    let never = answering(|_| std::future::pending().boxed());
    let app: Router = site().layer(never).layer(ConcurrencyLimitLayer::new(1)).with_state(());
    let mut asking = Box::pin(ask(&app, for_events()));
    assert!((&mut asking).now_or_never().is_none());
    assert!(ask(&app, for_page()).now_or_never().is_none(), "the permit is taken");
    drop(asking);
    assert!(ask(&app, for_page()).now_or_never().is_some());
}

#[tokio::test]
async fn full_inner_service_delays_streams() {
    let service = ServiceBuilder::new().layer(events()).layer(ConcurrencyLimitLayer::new(1)).service(busy_site());
    let ask = |request| service.clone().oneshot(request);
    let mut page = Box::pin(ask(for_page()));
    assert!((&mut page).now_or_never().is_none());
    assert!(ask(for_events()).now_or_never().is_none());
    drop(page);
    assert!(ask(for_events()).now_or_never().is_some());
}

#[tokio::test]
async fn inner_limit_with_load_shed_delays_no_stream() {
    let service = ServiceBuilder::new()
        .layer(events())
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(busy_site());
    let ask = |request| service.clone().oneshot(request);
    let mut page = Box::pin(ask(for_page()));
    assert!((&mut page).now_or_never().is_none());
    assert!(ask(for_page()).await.is_err_and(|error| error.is::<Overloaded>()));
    assert!(ask(for_events()).now_or_never().is_some());
}

#[tokio::test]
async fn load_shed_outside_refuses_while_event_services_are_called() {
    let service = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(answering(|_| std::future::pending().boxed()))
        .service(site());
    let ask = |request| service.clone().oneshot(request);
    let mut first = Box::pin(ask(for_events()));
    assert!((&mut first).now_or_never().is_none());
    assert!(ask(for_events()).await.is_err_and(|error| error.is::<Overloaded>()));
}

/// A route of axum is always ready, and waits when it is called.
#[tokio::test]
async fn full_axum_site_delays_no_stream() {
    let app: Router = busy_site().layer(ConcurrencyLimitLayer::new(1)).layer(events()).with_state(());
    let mut page = Box::pin(ask(&app, for_page()));
    assert!((&mut page).now_or_never().is_none());
    let stream = ask(&app, for_events()).now_or_never().expect("at once");
    assert_eq!(ready_text(&mut stream.into_body()), ONE_EVENT);
}

#[tokio::test]
async fn a_buffer_changes_nothing_on_either_side() {
    let buffer = || ServiceBuilder::new().layer(HandleErrorLayer::new(overloaded)).layer(BufferLayer::new(16));
    for app in [site().layer(events()).layer(buffer()), site().layer(buffer()).layer(events())] {
        assert_eq!(ready_text(&mut ask(&app, for_events()).await.into_body()), ONE_EVENT);
        assert_eq!(ready_text(&mut ask(&app, for_page()).await.into_body()), PAGE);
    }
}

/// `axum::serve(listener, app)` applies the layers again for each connection.
#[tokio::test]
async fn axum_limit_counts_per_connection_without_into_make_service() {
    let both_in = Arc::new(Barrier::new(2));
    let page = move || {
        let both_in = Arc::clone(&both_in);
        async move { both_in.wait().await.is_leader().to_string() }
    };
    let app = Router::new().route("/", get(page)).layer(ConcurrencyLimitLayer::new(1));
    let start = Server::start(|listener, _| async { axum::serve(listener, app).await.expect("the server runs") });
    let pages = get_pages(&start.await.expect("a port"), 2).await;
    assert_ne!(pages[0], pages[1]);
}

#[tokio::test]
async fn axum_limit_counts_for_all_with_into_make_service() {
    let inside = Arc::new(AtomicUsize::new(0));
    let page = move || {
        let inside = Arc::clone(&inside);
        async move {
            let others = inside.fetch_add(1, SeqCst);
            others_have_their_turn().await;
            inside.fetch_sub(1, SeqCst);
            others.to_string()
        }
    };
    let app = Router::new().route("/", get(page)).layer(ConcurrencyLimitLayer::new(1));
    let server = Server::axum(app).await.expect("a port");
    assert!(get_pages(&server, 16).await.iter().all(|others| others == "0"));
}

async fn others_have_their_turn() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Requests the same page by so many connections at once.
async fn get_pages(server: &Server, clients: usize) -> Vec<String> {
    let get = |_| async {
        let mut client = Client::connect(server.address(), Version::HTTP_11).await.expect("a connection");
        let response = client.send(Request::new(Empty::new())).await.expect("an answer");
        let page = response.into_body().collect().await.expect("a page").to_bytes();
        String::from_utf8(page.into()).expect("text")
    };
    within(join_all((0..clients).map(get))).await
}
