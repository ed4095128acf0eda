//! A gRPC service written by hand. A build script with `protoc` would generate it from
//!
//! ```proto
//! package example.v1;
//! service Sensor { rpc Watch(WatchRequest) returns (stream Reading); }
//! message WatchRequest {}
//! message Reading { uint64 number = 1; double celsius = 2; }
//! ```

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, BoxStream, Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
    transport::Channel,
};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchRequest {}

/// A reading: a protobuf message for gRPC, and serializable with serde for the event stream.
#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
pub(crate) struct Reading {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(double, tag = "2")]
    pub(crate) celsius: f64,
}

/// The trait of the server.
pub(crate) trait Sensor: Clone + Send + Sync + 'static {
    fn watch(&self) -> BoxStream<Reading>;
}

#[derive(Clone)]
pub(crate) struct SensorServer<S>(pub(crate) S);

impl<S> NamedService for SensorServer<S> {
    const NAME: &'static str = "example.v1.Sensor";
}

impl<S: Sensor> Service<http::Request<Body>> for SensorServer<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self(sensor) = self.clone();
        Box::pin(async move {
            if request.uri().path() != WATCH {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).server_streaming(Watch(sensor), request).await)
        })
    }
}

struct Watch<S>(S);

impl<S: Sensor> ServerStreamingService<WatchRequest> for Watch<S> {
    type Response = Reading;
    type ResponseStream = BoxStream<Reading>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _: Request<WatchRequest>) -> Self::Future {
        let readings = self.0.watch();
        Box::pin(async { Ok(Response::new(readings)) })
    }
}

/// The client.
pub(crate) async fn watch(channel: Channel) -> Result<Streaming<Reading>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(WATCH);
    let codec = ProstCodec::<WatchRequest, Reading>::default();
    Ok(grpc.server_streaming(Request::new(WatchRequest {}), path, codec).await?.into_inner())
}

const WATCH: &str = "/example.v1.Sensor/Watch";
