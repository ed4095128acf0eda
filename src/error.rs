//! The error type that tower, hyper and this crate have in common.

/// Any error, boxed. tower and hyper use the same alias.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
