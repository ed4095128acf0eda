//! The fields of both APIs' requests that this model reads.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Question {
    pub(crate) model: String,
    messages: Vec<Message>,
    /// `true` if the client requests a stream.
    #[serde(default)]
    pub(crate) stream: bool,
    #[serde(alias = "max_completion_tokens")]
    pub(crate) max_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct Message {
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Question {
    /// Returns the text of the last message.
    pub(crate) fn text(&self) -> String {
        match self.messages.last().map(|message| &message.content) {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().map(|part| part.text.as_str()).collect(),
        }
    }
}
