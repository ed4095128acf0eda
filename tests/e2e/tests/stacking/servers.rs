//! All layers at once, on both sides, in axum, in tonic and on plain hyper: the types fit, and events and pages
//! arrive.

use std::{convert::Infallible, time::Duration};

use axum::routing::get;
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::{service::Routes, transport::server::TcpIncoming};
use tonic_web::GrpcWebLayer;
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_sse::decode::{EventReader, Item};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::*;

/// In the order of `docs/stacking.md`. A macro, since the type is as long as the list.
macro_rules! around {
    () => {
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CorsLayer::permissive())
            .layer(CompressionLayer::new())
            .layer(CatchPanicLayer::new())
            .layer(ConcurrencyLimitLayer::new(16))
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(30)))
    };
}

/// tonic's server, with the site where its services would be.
async fn tonic_server<L, B>(server: tonic::transport::Server<L>) -> Server
where
    L: tower::Layer<Routes, Service: tower::Service<Request<tonic::body::Body>, Response = Response<B>>>,
    L: Clone + Send + 'static,
    L::Service: Clone + Send + 'static,
    <L::Service as tower::Service<Request<tonic::body::Body>>>::Future: Send,
    <L::Service as tower::Service<Request<tonic::body::Body>>>::Error: Into<tower::BoxError> + Send,
    B: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    let routes = Routes::from(site());
    let start = Server::start(|listener, stopped| async move {
        let incoming = TcpIncoming::from(listener);
        let served =
            server.accept_http1(true).add_routes(routes).serve_with_incoming_shutdown(incoming, stopped.map(drop));
        served.await.expect("the listener stays");
    });
    start.await.expect("a port")
}

async fn events_and_pages_come_through(server: &Server) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let response = within(client.ask(Method::GET, "/")).await.expect("an answer");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream", "{version:?}");
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{version:?}");
        let mut items = EventReader::new(response.into_body());
        assert_eq!(within(items.next()).await.expect("more").expect("no error"), Item::Comment(String::new()));
        assert!(matches!(within(items.next()).await, Some(Ok(Item::Event(event))) if event.data() == "1"));

        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let page = within(client.send(Request::new(http_body_util::Empty::new()))).await.expect("an answer");
        assert_eq!(within(page.into_body().collect()).await.expect("a page").to_bytes(), PAGE, "{version:?}");
    }
}

#[tokio::test]
async fn around_and_inside_on_plain_hyper() {
    let page = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(PAGE))) };
    let service = ServiceBuilder::new().layer(around!()).layer(events()).layer(around!()).service(service_fn(page));
    events_and_pages_come_through(&Server::hyper(service).await.expect("a port")).await;
}

#[tokio::test]
async fn around_and_inside_in_axum_of_a_router_and_of_a_route() {
    let router = site().layer(around!()).layer(events()).layer(around!());
    events_and_pages_come_through(&Server::axum(router).await.expect("a port")).await;
    let stack = ServiceBuilder::new().layer(around!()).layer(events()).layer(around!());
    let app = Router::new().route("/", get(|| async { PAGE }).layer(stack));
    events_and_pages_come_through(&Server::axum(app).await.expect("a port")).await;
}

#[tokio::test]
async fn around_and_inside_in_tonic_where_the_first_is_the_outermost() {
    let server = tonic::transport::Server::builder().layer(around!()).layer(events()).layer(around!());
    events_and_pages_come_through(&tonic_server(server).await).await;
}

#[tokio::test]
async fn decorate_in_all_three() {
    let decorate = || ServiceBuilder::new().layer(around!()).layer(SseLayer::decorate()).layer(around!());
    let hyper =
        Server::hyper(decorate().map_request(|request: Request<Incoming>| request.map(Body::new)).service(site()));
    let axum = Server::axum(site().layer(decorate()));
    let tonic = tonic_server(tonic::transport::Server::builder().layer(decorate()));
    for server in [hyper.await.expect("a port"), axum.await.expect("a port"), tonic.await] {
        let mut client = Client::connect(server.address(), Version::HTTP_11).await.expect("a connection");
        let mut body = within(client.ask(Method::GET, "/foreign")).await.expect("an answer").into_body();
        let first = within(body.frame()).await.expect("a prelude").expect("no error");
        assert_eq!(first.into_data().expect("data"), ":\n");
    }
}

#[tokio::test]
async fn grpc_web_belongs_inside_as_it_refuses_other_requests() {
    let inside = tonic::transport::Server::builder().layer(events()).layer(GrpcWebLayer::new());
    let outside = tonic::transport::Server::builder().layer(GrpcWebLayer::new()).layer(events());
    for (server, status) in
        [(tonic_server(inside).await, StatusCode::OK), (tonic_server(outside).await, StatusCode::BAD_REQUEST)]
    {
        let mut client = Client::connect(server.address(), Version::HTTP_11).await.expect("a connection");
        assert_eq!(within(client.ask(Method::GET, "/")).await.expect("an answer").status(), status);
    }
}
