//! Why a value could not become an event.

use std::{error::Error, fmt};

/// A value could not be serialized to JSON, or, for [`Event::tagged`](crate::Event::tagged), is not a named variant.
///
/// [`source`](Error::source) is what serde said.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl JsonError {
    pub(crate) fn new(source: serde_json::Error) -> Self {
        Self(source)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value could not be made an event")
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
