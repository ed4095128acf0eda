//! A model that fits into an example: it counts, repeats its input, or fails.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::time::sleep;

use crate::question::Question;

#[derive(Clone, Default)]
pub(crate) struct Model {
    running: Arc<AtomicUsize>,
}

/// A piece of the model's output.
pub(crate) enum Piece {
    Begin,
    Word(String),
    End { words: usize, cut: bool },
}

/// The error of a model without capacity.
#[derive(Debug)]
pub(crate) struct Overloaded;

impl Model {
    /// Returns the answer, at the pace of the model. Generation stops when the stream is dropped.
    pub(crate) fn answer(&self, question: &Question) -> impl Stream<Item = Result<Piece, Overloaded>> + Send + use<> {
        let text = question.text();
        let said = text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let up_to = said.iter().find_map(|word| word.parse::<usize>().ok());
        let generation = Generation {
            running: Arc::clone(&self.running),
            fails_at: text.contains("fail").then_some(3),
            most: question.max_tokens.unwrap_or(usize::MAX),
            length: up_to.unwrap_or(said.len()),
            said: if up_to.is_some() { Vec::new() } else { said },
            made: 0,
            state: State::Begins,
        };
        self.running.fetch_add(1, Ordering::Relaxed);
        stream::unfold(generation, async |mut generation| Some((generation.next().await?, generation)))
    }

    /// Returns the number of answers in progress.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// An answer in progress. It ends on drop: a stream is dropped when its client leaves.
struct Generation {
    running: Arc<AtomicUsize>,
    fails_at: Option<usize>,
    most: usize,
    length: usize,
    /// The words to repeat. Empty if the model counts.
    said: Vec<String>,
    made: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Begins,
    Works,
    Done,
}

impl Generation {
    async fn next(&mut self) -> Option<Result<Piece, Overloaded>> {
        match self.state {
            State::Done => return None,
            State::Begins => {
                self.state = State::Works;
                return Some(Ok(Piece::Begin));
            }
            State::Works => {}
        }
        if self.made == self.length.min(self.most) {
            self.state = State::Done;
            return Some(Ok(Piece::End { words: self.made, cut: self.made < self.length }));
        }
        sleep(PACE).await; // hard work
        if self.fails_at == Some(self.made) {
            self.state = State::Done;
            return Some(Err(Overloaded));
        }
        self.made += 1;
        let word = self.said.get(self.made - 1).cloned().unwrap_or_else(|| self.made.to_string());
        Some(Ok(Piece::Word(if self.made == 1 { word } else { format!(" {word}") })))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let why = if self.state == State::Done { "" } else { ": the client has left" };
        println!("the model stops after {} words{why}", self.made);
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the model is overloaded")
    }
}

impl std::error::Error for Overloaded {}

const PACE: Duration = Duration::from_millis(40);
