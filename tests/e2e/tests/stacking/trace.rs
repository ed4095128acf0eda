//! `TraceLayer`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use tower_http::{classify::ServerErrorsFailureClass, trace::TraceLayer};
use tracing::Span;

use super::*;

/// The callbacks of a `TraceLayer`.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("no thread panicked").push(what.into());
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().expect("no thread panicked")).join(", ")
    }
}

/// A macro, since the layer's type has seven parameters.
macro_rules! trace {
    ($told:expr) => {{
        let [response, chunk, eos, failure] = std::array::from_fn(|_| $told.clone());
        TraceLayer::new_for_http()
            .on_response(move |answer: &Response<_>, _: Duration, _: &Span| response.note(answer.status().as_str()))
            .on_body_chunk(move |bytes: &Bytes, _: Duration, _: &Span| chunk.note(format!("{} bytes", bytes.len())))
            .on_eos(move |_: Option<&HeaderMap>, _: Duration, _: &Span| eos.note("end"))
            .on_failure(move |_: ServerErrorsFailureClass, _: Duration, _: &Span| failure.note("failure"))
    }};
}

fn short() -> EventLayer {
    answering(|_| answer(stream::iter([Event::new("1")])))
}

#[tokio::test]
async fn trace_outside_sees_head_frames_and_end_of_a_stream() {
    let told = Told::default();
    let app = site().layer(short()).layer(trace!(told));
    let mut body = ask(&app, for_events()).await.into_body();
    assert_eq!(told.take(), "200");
    assert_eq!(ready_text(&mut body), ONE_EVENT);
    assert_eq!(told.take(), "2 bytes, 9 bytes, end");
}

#[tokio::test(start_paused = true)]
async fn trace_outside_sees_heartbeats_but_not_a_client_that_leaves() {
    let told = Told::default();
    let app = site().layer(events()).layer(trace!(told));
    let mut body = ask(&app, for_events()).await.into_body();
    assert_eq!(ready_text(&mut body), ONE_EVENT);
    body.frame().await.expect("a heartbeat").expect("no error");
    drop(body);
    assert_eq!(told.take(), "200, 2 bytes, 9 bytes, 2 bytes");
}

#[tokio::test]
async fn trace_inside_sees_only_pages() {
    let told = Told::default();
    let app = site().layer(trace!(told)).layer(short());
    assert_eq!(ready_text(&mut ask(&app, for_events()).await.into_body()), ONE_EVENT);
    assert_eq!(told.take(), "");
    assert_eq!(ready_text(&mut ask(&app, for_page()).await.into_body()), PAGE);
    assert_eq!(told.take(), format!("200, {} bytes, end", PAGE.len()));
}

#[tokio::test]
async fn trace_inside_decorate_sees_the_frames_of_the_service() {
    let told = Told::default();
    let app = site().layer(trace!(told)).layer(SseLayer::decorate());
    assert_eq!(ready_text(&mut ask(&app, for_foreign()).await.into_body()), ONE_EVENT);
    assert_eq!(told.take(), "200, 9 bytes");
}
