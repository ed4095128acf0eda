//! Events: encoding, decoding, JSON.

mod decode;
mod encode;
#[cfg(feature = "json")]
mod json;
pub(crate) mod naive;
#[cfg(feature = "json")]
mod tagged;
