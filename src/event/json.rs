//! The error of values that cannot be serialized.

use std::{error::Error, fmt};

/// An error of a value that could not be serialized to JSON, or, for [`Event::tagged`](crate::Event::tagged), is not a named variant.
///
/// The [`source`](Error::source) is the error of serde.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl JsonError {
    pub(crate) fn new(source: serde_json::Error) -> Self {
        Self(source)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value could not be serialized as an event")
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
