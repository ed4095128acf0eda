//! The client of a request: identified once, and stored in the request's extensions.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Extensions, HeaderMap, HeaderName},
    middleware::Next,
    response::Response,
};

use crate::{app::App, session::Session};

/// The client of a request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) session: Option<Session>,
    address: IpAddr,
}

/// The trusted proxies in front.
#[derive(Clone)]
pub(crate) struct Proxies {
    /// The header to which each proxy appends the address of its peer.
    pub(crate) header: HeaderName,
    pub(crate) number: NonZeroUsize,
}

impl Client {
    /// Returns the key by which its streams are counted.
    pub(crate) fn key(&self) -> Arc<str> {
        self.session.as_ref().map_or_else(|| self.address_key(), |session| key_of(session.user()))
    }

    /// Returns the key by which the client is counted regardless of its login. An IPv6 client has all addresses of a /64,
    /// often more.
    pub(crate) fn address_key(&self) -> Arc<str> {
        match self.address.to_canonical() {
            IpAddr::V4(address) => format!("address/{address}").into(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("address/{a:x}:{b:x}:{c:x}:{d:x}::/64").into()
            }
        }
    }

    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

impl Proxies {
    /// Returns the address of the outermost proxy's peer. Earlier entries are the client's own claim. Returns `None` if the
    /// request has not passed all proxies.
    fn peer_of_outermost(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines = headers.get_all(&self.header).iter();
        let entries = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
        let mut entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        address(std::str::from_utf8(entries.nth_back(self.number.get() - 1)?).ok()?)
    }
}

/// Parses an address, with or without brackets, a port and a zone, which is the name of an interface.
fn address(text: &str) -> Option<IpAddr> {
    let without_zone = |text: &str| text.split('%').next()?.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || {
        let (address, port) = text.strip_prefix('[')?.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
        without_zone(address).filter(|_| is_port)
    };
    without_zone(text).or_else(in_brackets).or_else(with_port)
}

/// Returns the key by which a user's streams are counted and ended.
pub(crate) fn key_of(user: &str) -> Arc<str> {
    format!("user/{user}").into()
}

pub(crate) async fn identify(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    // Behind a proxy all connections have its address. The header is trusted only if the proxy is known to set it.
    let forwarded = app.proxies.as_ref().and_then(|proxies| proxies.peer_of_outermost(request.headers()));
    let session = app.sessions.of(request.headers());
    request.extensions_mut().insert(Client { session, address: forwarded.unwrap_or(peer.ip()) });
    next.run(request).await
}
