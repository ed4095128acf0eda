//! Who a request is from: found once, and put beside the request for all who want to know.

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

/// Who a request is from.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) session: Option<Session>,
    address: IpAddr,
}

/// The proxies in front.
#[derive(Clone)]
pub(crate) struct Proxies {
    /// The header to which each of them appends the address that asked it.
    pub(crate) header: HeaderName,
    pub(crate) number: NonZeroUsize,
}

impl Client {
    /// What its streams are counted by.
    pub(crate) fn key(&self) -> Arc<str> {
        self.session.as_ref().map_or_else(|| self.address_key(), |session| key_of(session.user()))
    }

    /// Returns the key that it is counted by whatever it says that it is. A client of IPv6 has all addresses of a /64,
    /// often of more.
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
    /// Returns the address that the outermost of the proxies was asked from. All that stands before it is what a client
    /// has made up. `None` if the request has not come through all of them.
    fn told(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines = headers.get_all(&self.header).iter();
        let entries = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
        let mut entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        address(std::str::from_utf8(entries.nth_back(self.number.get() - 1)?).ok()?)
    }
}

/// Reads an address, with or without brackets, a port and a zone, which is the name of an interface.
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
    let told = app.proxies.as_ref().and_then(|proxies| proxies.told(request.headers()));
    let session = app.sessions.of(request.headers());
    request.extensions_mut().insert(Client { session, address: told.unwrap_or(peer.ip()) });
    next.run(request).await
}
