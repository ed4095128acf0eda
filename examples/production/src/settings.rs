//! Settings from the environment: all variables with their values, and errors for invalid ones.

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    str::FromStr,
    time::Duration,
};

use axum_extra::extract::cookie::Key;
use tracing_subscriber::EnvFilter;

use crate::client::Proxies;

/// All settings.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) log: EnvFilter,
    pub(crate) password: Option<String>,
    pub(crate) cookie_key: Key,
    pub(crate) session: Duration,
    pub(crate) proxies: Option<Proxies>,
    pub(crate) tls_outside: bool,
    pub(crate) request: Duration,
    pub(crate) connection: Duration,
    pub(crate) posts_per_minute: NonZeroU32,
    pub(crate) streams: usize,
    pub(crate) streams_per_client: usize,
    pub(crate) opens_per_minute: NonZeroU32,
    pub(crate) lifetime: Duration,
    pub(crate) access: Duration,
    pub(crate) leave_after: Duration,
    pub(crate) drain: Duration,
}

/// All errors of the environment: a line for each variable.
#[derive(Debug)]
pub(crate) struct BadSettings(Vec<String>);

impl Settings {
    pub(crate) fn from_environment() -> Result<Self, BadSettings> {
        Self::read(|name| std::env::var_os(name))
    }

    fn read(look_up: impl Fn(&str) -> Option<OsString>) -> Result<Self, BadSettings> {
        let mut from = Reader { look_up, bad: Vec::new() };
        let host = from.parsed("HOST", "an address to listen on", IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = from.parsed("PORT", "a port, 0 for any that is free", 3000);
        let settings = Self {
            listen: SocketAddr::new(host, port),
            log: from.read("LOG", LOG, || EnvFilter::new("info"), |text| EnvFilter::builder().parse(text).ok()),
            password: from.secret(
                "PASSWORD",
                PASSWORD,
                host,
                || None,
                |text| (text.len() >= 12).then(|| Some(text.into())),
            ),
            cookie_key: from.secret("COOKIE_KEY", COOKIE_KEY, host, Key::generate, key),
            session: from.seconds("SESSION_SECONDS", 12 * 60 * 60),
            proxies: from.proxies(),
            tls_outside: from.read("TLS_OUTSIDE", "`yes` or `no`", || !host.is_loopback(), yes_or_no),
            request: from.seconds("REQUEST_SECONDS", 30),
            connection: from.seconds("CONNECTION_SECONDS", 30 * 60),
            posts_per_minute: from.parsed("POSTS_PER_MINUTE", "a number from 1", NonZeroU32::MIN.saturating_add(59)),
            streams: from.at_least_one("STREAMS", 10_000),
            streams_per_client: from.at_least_one("STREAMS_PER_CLIENT", 20),
            opens_per_minute: from.parsed("OPENS_PER_MINUTE", "a number from 1", NonZeroU32::MIN.saturating_add(119)),
            lifetime: from.seconds("STREAM_SECONDS", 60 * 60),
            access: from.seconds("ACCESS_SECONDS", 30),
            leave_after: from.read("LEAVE_AFTER_SECONDS", WHOLE_SECONDS, || Duration::ZERO, whole_seconds),
            drain: from.seconds("DRAIN_SECONDS", 20),
        };
        if from.bad.is_empty() { Ok(settings) } else { Err(BadSettings(from.bad)) }
    }
}

/// A reader of variables that collects errors.
struct Reader<L> {
    look_up: L,
    bad: Vec<String>,
}

impl<L: Fn(&str) -> Option<OsString>> Reader<L> {
    fn read<T>(
        &mut self,
        name: &str,
        takes: &str,
        default: impl Fn() -> T,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(given) = (self.look_up)(name) else { return default() };
        given.to_str().and_then(parse).unwrap_or_else(|| {
            self.bad.push(format!("{name}: takes {takes}, and not {given:?}"));
            default()
        })
    }

    fn parsed<T: FromStr + Copy>(&mut self, name: &str, takes: &str, default: T) -> T {
        self.read(name, takes, || default, |text| text.parse().ok())
    }

    fn at_least_one(&mut self, name: &str, default: usize) -> usize {
        self.read(name, "a number from 1", || default, |text| text.parse().ok().filter(|&number| number > 0))
    }

    fn seconds(&mut self, name: &str, default: u64) -> Duration {
        let parse = |text: &str| whole_seconds(text).filter(|time| !time.is_zero());
        self.read(name, "whole seconds from 1", || Duration::from_secs(default), parse)
    }

    fn proxies(&mut self) -> Option<Proxies> {
        let number = self.parsed("PROXIES", "a number from 1", NonZeroUsize::MIN);
        let header = self.read("ADDRESS_HEADER", HEADER, || None, |text| text.parse().ok().map(Some));
        header.map(|header| Proxies { header, number })
    }

    /// Reads a secret, which is never printed and is required unless the host is loopback.
    fn secret<T>(
        &mut self,
        name: &str,
        takes: &str,
        host: IpAddr,
        default: impl Fn() -> T,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let given = (self.look_up)(name);
        if given.is_none() && !host.is_loopback() {
            self.bad.push(format!("{name}: is not set, and must be where HOST is not loopback: takes {takes}"));
        }
        let Some(given) = given else { return default() };
        given.to_str().and_then(parse).unwrap_or_else(|| {
            self.bad.push(format!("{name}: takes {takes}, and not the {} bytes that it has", given.len()));
            default()
        })
    }
}

/// Parses seconds, up to a year: a longer time is a mistake, and may overflow a clock.
fn whole_seconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|&seconds| seconds <= 366 * 24 * 60 * 60).map(Duration::from_secs)
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn key(text: &str) -> Option<Key> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    Key::try_from(&bytes?[..]).ok()
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for BadSettings {}

const LOG: &str = "a filter, such as `info` or `info,tower_sse=debug`";
const PASSWORD: &str = "12 bytes or more, with which all users log in";
const COOKIE_KEY: &str = "64 bytes or more in hexadecimal, as from `openssl rand -hex 64`";
const HEADER: &str = "the name of the header to which the proxy in front adds the client's address";
const WHOLE_SECONDS: &str = "whole seconds";
