//! OpenAI's chat completions: unnamed chunks, and `[DONE]` as the last one.

use serde_json::{Value, json};
use tower_sse::{BoxError, Event};

use crate::{Dialect, model::Piece, question::Question};

pub(crate) struct OpenAi;

impl Dialect for OpenAi {
    fn events(&self, question: &Question, piece: &Piece) -> Vec<Result<Event, BoxError>> {
        match piece {
            Piece::Begin => vec![chunk(question, &json!({ "role": "assistant", "content": "" }), None)],
            Piece::Word(word) => vec![chunk(question, &json!({ "content": word }), None)],
            Piece::End { .. } => {
                vec![chunk(question, &json!({}), finish_reason(piece)), Ok(Event::new("[DONE]"))]
            }
        }
    }

    fn document(&self, question: &Question, text: &str, end: &Piece) -> Value {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": question.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text },
                "finish_reason": finish_reason(end),
            }],
        })
    }

    fn error(&self, kind: &str, message: &str) -> Value {
        json!({ "error": { "type": kind, "message": message } })
    }

    fn failure(&self, error: &Value) -> Result<Event, BoxError> {
        Ok(Event::json(error)?)
    }
}

fn chunk(question: &Question, delta: &Value, finish_reason: Option<&str>) -> Result<Event, BoxError> {
    Ok(Event::json(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": question.model,
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
    }))?)
}

fn finish_reason(end: &Piece) -> Option<&'static str> {
    match end {
        Piece::End { cut, .. } => Some(if *cut { "length" } else { "stop" }),
        Piece::Begin | Piece::Word(_) => None,
    }
}
