//! Anthropic's messages: named events, whose data repeats the name as `type`.

use serde_json::{Value, json};
use tower_sse::{BoxError, Event, EventName};

use crate::{Dialect, model::Piece, question::Question};

pub(crate) struct Anthropic;

impl Dialect for Anthropic {
    fn events(&self, question: &Question, piece: &Piece) -> Vec<Result<Event, BoxError>> {
        match piece {
            Piece::Begin => vec![
                event("message_start", json!({ "message": message(question, &json!([]), &Piece::Begin) })),
                event("content_block_start", json!({ "index": 0, "content_block": { "type": "text", "text": "" } })),
                event("ping", json!({})),
            ],
            Piece::Word(word) => {
                let delta = json!({ "type": "text_delta", "text": word });
                vec![event("content_block_delta", json!({ "index": 0, "delta": delta }))]
            }
            Piece::End { words, .. } => {
                let delta = json!({ "stop_reason": stop_reason(piece), "stop_sequence": null });
                vec![
                    event("content_block_stop", json!({ "index": 0 })),
                    event("message_delta", json!({ "delta": delta, "usage": { "output_tokens": words } })),
                    event("message_stop", json!({})),
                ]
            }
        }
    }

    fn document(&self, question: &Question, text: &str, end: &Piece) -> Value {
        message(question, &json!([{ "type": "text", "text": text }]), end)
    }

    fn error(&self, kind: &str, message: &str) -> Value {
        json!({ "type": "error", "error": { "type": kind, "message": message } })
    }

    fn failure(&self, error: &Value) -> Result<Event, BoxError> {
        event("error", error.clone())
    }
}

fn event(kind: &str, mut data: Value) -> Result<Event, BoxError> {
    data["type"] = kind.into();
    Ok(Event::builder().name(EventName::try_from(kind)?).json(&data)?)
}

fn message(question: &Question, content: &Value, end: &Piece) -> Value {
    let words = match end {
        Piece::End { words, .. } => *words,
        Piece::Begin | Piece::Word(_) => 0,
    };
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": question.model, "content": content,
        "stop_reason": stop_reason(end), "stop_sequence": null,
        "usage": { "input_tokens": question.text().split(' ').count(), "output_tokens": words },
    })
}

fn stop_reason(end: &Piece) -> Option<&'static str> {
    match end {
        Piece::End { cut, .. } => Some(if *cut { "max_tokens" } else { "end_turn" }),
        Piece::Begin | Piece::Word(_) => None,
    }
}
