//! The API of a large language model, for the clients of OpenAI and of Anthropic. They request a stream in the body of a
//! POST, not in `Accept`, so the event service reads the body and returns events or a document. When a client leaves, its
//! stream is dropped, and the model stops.
//!
//! ```sh
//! cargo run --example llm
//! curl -N --json '{"model":"m","stream":true,"messages":[{"role":"user","content":"count to 20"}]}' \
//!     http://127.0.0.1:3000/v1/chat/completions
//! ```
//!
//! Or with an official SDK: `OpenAI(base_url="http://127.0.0.1:3000/v1", api_key="any")`,
//! `Anthropic(base_url="http://127.0.0.1:3000", api_key="any")`.

mod anthropic;
mod model;
mod openai;
mod question;

use std::time::Duration;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE},
    response::Html,
    routing::get,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_sse::{BoxError, Event, Events, Negotiate, Refusal, Reply, Source, SseLayer};

use crate::{
    model::{Model, Piece},
    question::Question,
};

/// The difference between the two APIs: the encoding of the model's output.
trait Dialect: Sync {
    /// Returns the events for a piece of the answer.
    fn events(&self, question: &Question, piece: &Piece) -> Vec<Result<Event, BoxError>>;

    /// Returns the whole answer as one document.
    fn document(&self, question: &Question, text: &str, end: &Piece) -> Value;

    /// Returns an error, for a document or as the data of the last event.
    fn error(&self, kind: &str, message: &str) -> Value;

    /// Returns the last event of an answer that failed midway.
    fn failure(&self, error: &Value) -> Result<Event, BoxError>;
}

/// Answers with a stream or a document, as the body of the request selects.
async fn answer(model: Model, request: Request<Body>) -> Result<Reply<impl Source, Full<Bytes>>, Refusal> {
    let dialect: &'static dyn Dialect = match request.uri().path() {
        "/v1/chat/completions" => &openai::OpenAi,
        "/v1/messages" => &anthropic::Anthropic,
        _ => return Err(StatusCode::NOT_FOUND.into()),
    };
    let question = match read(request).await {
        Ok(question) => question,
        Err(error) => {
            let error = dialect.error("invalid_request_error", &error.to_string());
            return Ok(document(StatusCode::BAD_REQUEST, &error).into());
        }
    };
    let pieces = model.answer(&question);
    if !question.stream {
        return Ok(whole(dialect, &question, pieces).await.into());
    }
    let failure = dialect.failure(&dialect.error("overloaded_error", "Overloaded"))?;
    let events = pieces.flat_map(move |piece| {
        stream::iter(match piece {
            Ok(piece) => dialect.events(&question, &piece),
            Err(error) => vec![Err(error.into())],
        })
    });
    Ok(Events::new(events).on_failure(failure).into())
}

async fn read(request: Request<Body>) -> Result<Question, BoxError> {
    let body = Limited::new(request.into_body(), 1 << 20).collect().await?.to_bytes();
    Ok(serde_json::from_slice(&body)?)
}

/// Returns the whole answer, for a client that does not stream.
async fn whole(
    dialect: &dyn Dialect,
    question: &Question,
    pieces: impl stream::Stream<Item = Result<Piece, model::Overloaded>>,
) -> Response<Full<Bytes>> {
    let gather = |(mut text, _): (String, Piece), piece| async {
        if let Piece::Word(word) = &piece {
            text.push_str(word);
        }
        Ok((text, piece))
    };
    match pieces.try_fold((String::new(), Piece::Begin), gather).await {
        Ok((text, end)) => document(StatusCode::OK, &dialect.document(question, &text, &end)),
        Err(error) => {
            let error = dialect.error("overloaded_error", &error.to_string());
            document(StatusCode::SERVICE_UNAVAILABLE, &error)
        }
    }
}

fn document(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns the number of answers in progress.
async fn status(State(model): State<Model>) -> Json<Value> {
    Json(json!({ "running": model.running() }))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let model = Model::default();
    let asked = model.clone();
    let llm = SseLayer::from_fn(move |request| answer(asked.clone(), request))
        .negotiate(Negotiate::Always)
        .methods([Method::POST])
        .heartbeat(Duration::from_secs(10));

    let app = Router::new().route("/", get(Html(PAGE))).route("/status", get(status)).with_state(model).layer(llm);

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

const PAGE: &str = include_str!("page.html");
