//! Who a request is from: found once, and put beside the request for all who want to know.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::Extensions,
    middleware::Next,
    response::Response,
};

use crate::{app::App, session::Session};

/// Who a request is from.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) session: Option<Session>,
    address: IpAddr,
}

impl Client {
    /// What its streams are counted by.
    pub(crate) fn key(&self) -> Arc<str> {
        match &self.session {
            Some(session) => key_of(session.user()),
            None => format!("address/{}", self.address).into(),
        }
    }

    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

/// What a user's streams are counted by, and ended by.
pub(crate) fn key_of(user: &str) -> Arc<str> {
    format!("user/{user}").into()
}

pub(crate) async fn tell(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    // Behind a proxy all come from its address. A header is believed only where it is known that the proxy sets it.
    let told = app.address_header.as_ref().and_then(|name| request.headers().get(name)?.to_str().ok()?.parse().ok());
    let session = app.sessions.of(request.headers());
    request.extensions_mut().insert(Client { session, address: told.unwrap_or(peer.ip()) });
    next.run(request).await
}
