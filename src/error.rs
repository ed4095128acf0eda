//! The boxed error of the crate.

/// Any error, boxed. The alias is the same type as those of tower and hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
