//! Code from the crate's documents, so that the documented lines are the tested ones.
#![expect(clippy::panic, reason = "a test cannot continue if its document has changed")]

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
    /// Panics if there is none.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// Returns whether the document contains this text.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Returns the only fenced block in this language that contains this text.
    ///
    /// # Panics
    ///
    /// Panics if there is none, or more than one.
    #[must_use]
    pub fn block(&self, language: &str, holds: &str) -> String {
        let mut blocks = self.blocks(language);
        blocks.retain(|block| block.contains(holds));
        let [block] = &mut blocks[..] else {
            panic!("docs/{} has {} blocks of {language} with `{holds}`, not one", self.name, blocks.len())
        };
        std::mem::take(block)
    }

    /// Blocks may stand in a list, and are returned without the indentation there.
    fn blocks(&self, language: &str) -> Vec<String> {
        let (mut blocks, fence) = (Vec::new(), format!("```{language}"));
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let Some(indent) = line.strip_suffix(&fence).filter(|indent| indent.trim().is_empty()) else { continue };
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            blocks.push(block.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect());
        }
        blocks
    }
}

/// Returns the same text with another value in a place that must exist.
///
/// # Panics
///
/// Panics if there is no such place.
#[must_use]
pub fn with(text: &str, place: &str, value: &str) -> String {
    assert!(text.contains(place), "`{place}` is not in:\n{text}");
    text.replace(place, value)
}
