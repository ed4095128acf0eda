//! Code out of the crate's documents, so that what they say is what is tested.
#![expect(clippy::panic, reason = "a test whose document is not as it thinks cannot go on")]

use std::{fs, path::Path};

/// A document below `docs/`.
#[derive(Debug)]
pub struct Document {
    name: String,
    text: String,
}

impl Document {
    /// Reads `docs/NAME`.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// The only fenced block in this language that holds this text.
    ///
    /// # Panics
    ///
    /// There is none, or more than one.
    #[must_use]
    pub fn block(&self, language: &str, holds: &str) -> String {
        let blocks: Vec<_> = self.blocks(language).filter(|block| block.contains(holds)).collect();
        let [block] = &blocks[..] else {
            panic!("docs/{} has {} blocks of {language} with `{holds}`, not one", self.name, blocks.len())
        };
        (*block).to_owned()
    }

    fn blocks(&self, language: &str) -> impl Iterator<Item = &str> {
        let fence = format!("```{language}\n");
        let rest: Vec<_> = self.text.split(&fence).skip(1).collect();
        rest.into_iter().filter_map(|after| after.split_once("\n```").map(|(block, _)| block))
    }
}

/// The same text with another value in a place that must be there.
///
/// # Panics
///
/// There is no such place.
#[must_use]
pub fn with(text: &str, place: &str, value: &str) -> String {
    assert!(text.contains(place), "`{place}` is not in:\n{text}");
    text.replace(place, value)
}
