//! The tower middleware: layer, service, future and body.

pub(crate) mod body;
pub(crate) mod carried_refusal;
pub(crate) mod event_service;
pub(crate) mod future;
pub(crate) mod late_layer;
pub(crate) mod layer;
pub(crate) mod refuse;
pub(crate) mod respond;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod standalone;
