//! Connections to Redis: endpoints, failover, redirects of a cluster, and loaded scripts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, Value,
    aio::MultiplexedConnection, cmd, pipe,
};

#[cfg(feature = "redis-tls")]
use super::tls::Tls;
use super::{error::RedisError, settings::Settings};

/// The addresses of servers, one of which serves the keys.
#[derive(Debug)]
pub(super) struct Endpoints {
    known: Vec<ConnectionInfo>,
    #[cfg(feature = "redis-tls")]
    tls: Tls,
    /// The address to which a cluster node redirected last. The next connection tries it first.
    redirect: Mutex<Option<ConnectionInfo>>,
}

/// A connection to a server that has loaded the scripts.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    scripts: Arc<Scripts>,
    /// The run of the server, if known. See [`parse_server_run`].
    server_run: Option<Arc<String>>,
}

/// The SHA-1 digests of the scripts.
struct Scripts {
    publish: String,
    read: String,
}

/// A connection for commands that do not block. It is opened on first use, shared, and replaced after an error.
#[derive(Debug)]
pub(super) struct SharedConnection {
    endpoints: Arc<Endpoints>,
    settings: Arc<Settings>,
    current: tokio::sync::Mutex<Option<Connection>>,
}

impl Endpoints {
    pub(super) fn new(urls: &[String]) -> Result<Self, RedisError> {
        Ok(Self {
            known: urls
                .iter()
                .map(|url| Ok(url.as_str().into_connection_info()?))
                .collect::<Result<_, RedisError>>()?,
            #[cfg(feature = "redis-tls")]
            tls: Tls::default(),
            redirect: Mutex::default(),
        })
    }

    /// Sets the TLS settings. Errors if they are not the default, and are invalid or apply to no endpoint.
    #[cfg(feature = "redis-tls")]
    pub(super) fn set_tls(&mut self, tls: Tls) -> Result<(), RedisError> {
        self.tls = tls;
        if self.tls.is_default() {
            return Ok(());
        }
        let Some(info) = self.known.iter().find(|info| is_tls(info)) else {
            return Err(RedisError::protocol("certificates are set, but no url uses tls"));
        };
        self.tls.check_roots()?;
        self.client(info.clone()).map(drop)
    }

    /// Connects to the first endpoint that serves the keys and is not a replica.
    pub(super) async fn connect(
        &self,
        settings: &Settings,
        response_timeout: Duration,
    ) -> Result<Connection, RedisError> {
        let redirect = self.redirect().take();
        let mut failed = None;
        for info in redirect.into_iter().chain(self.known.iter().cloned()) {
            match self.connect_to(info, settings, response_timeout).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| RedisError::protocol("no address of redis is set")))
    }

    fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        #[cfg(feature = "redis-tls")]
        if is_tls(&info) {
            return self.tls.client(info);
        }
        Ok(Client::open(info)?)
    }

    /// Connects to this server, or to the cluster node that it redirects to.
    async fn connect_to(
        &self,
        mut info: ConnectionInfo,
        settings: &Settings,
        response_timeout: Duration,
    ) -> Result<Connection, RedisError> {
        for _ in 0..MAX_REDIRECTS {
            let opened = Connection::open(self.client(info.clone())?, settings, response_timeout).await;
            let Some((host, port)) = opened.as_ref().err().and_then(RedisError::redirected_to) else { return opened };
            info = with_address(info, host, port);
        }
        Connection::open(self.client(info)?, settings, response_timeout).await
    }

    /// Stores the redirect of this error, if it is one, for the next connection.
    pub(super) fn note_redirect(&self, error: &RedisError) {
        if let (Some((host, port)), Some(known)) = (error.redirected_to(), self.known.first()) {
            *self.redirect() = Some(with_address(known.clone(), host, port));
        }
    }

    fn redirect(&self) -> MutexGuard<'_, Option<ConnectionInfo>> {
        self.redirect.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn open(client: Client, settings: &Settings, response_timeout: Duration) -> Result<Self, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        let mut inner = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut setup = pipe();
        setup.cmd("ROLE").cmd("EXISTS").arg(settings.epoch_key());
        setup.cmd("SCRIPT").arg("LOAD").arg(PUBLISH).cmd("SCRIPT").arg("LOAD").arg(READ);
        setup.cmd("INFO").arg("server").arg("replication");
        let replies: Vec<RedisResult<Value>> = setup.ignore_errors().query_async(&mut inner).await?;
        let mut replies = replies.into_iter();
        let (role, exists) = (replies.next(), replies.next());
        let replica = Value::BulkString(b"slave".to_vec());
        // A user without permission for `ROLE` connects to a server that is assumed to be a master.
        let is_replica = |role: Value| matches!(role, Value::Array(role) if role.first() == Some(&replica));
        if role.and_then(Result::ok).is_some_and(is_replica) {
            return Err(RedisError::protocol("this redis is a replica"));
        }
        let missing = || RedisError::protocol("redis did not respond to all commands");
        let mut script = || -> Result<String, RedisError> {
            let sha = replies.next().ok_or_else(missing)??;
            Ok(::redis::from_redis_value(sha).map_err(::redis::RedisError::from)?)
        };
        let scripts = Arc::new(Scripts { publish: script()?, read: script()? });
        // Fails with a redirect if another node of the cluster serves the keys.
        exists.ok_or_else(missing)??;
        // Unknown if the user has no permission for `INFO`, or before Redis 7, which accepts one section only.
        let info = replies.next().and_then(Result::ok).and_then(|info| ::redis::from_redis_value::<String>(info).ok());
        let server_run = info.as_deref().and_then(parse_server_run).map(Arc::new);
        Ok(Self { inner, scripts, server_run })
    }

    /// Returns the run of the server, if known.
    pub(super) fn server_run(&self) -> Option<&String> {
        self.server_run.as_deref()
    }

    /// Returns a call of the script that publishes, without its arguments.
    pub(super) fn publish_call(&self) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.scripts.publish);
        command
    }

    /// Returns a call of the script that reads, without its arguments.
    pub(super) fn read_call(&self) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.scripts.read);
        command
    }

    pub(super) fn inner(&mut self) -> &mut MultiplexedConnection {
        &mut self.inner
    }
}

impl SharedConnection {
    pub(super) fn new(endpoints: &Arc<Endpoints>, settings: &Arc<Settings>) -> Self {
        let (endpoints, settings) = (Arc::clone(endpoints), Arc::clone(settings));
        Self { endpoints, settings, current: tokio::sync::Mutex::default() }
    }

    /// Returns the current connection, or opens one.
    pub(super) async fn get(&self, response_timeout: Duration) -> Result<Connection, RedisError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connection = self.endpoints.connect(&self.settings, response_timeout).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Discards the current connection. The next one goes to the redirect of this error, if it is one.
    pub(super) async fn discard(&self, error: Option<&RedisError>) {
        if let Some(error) = error {
            self.endpoints.note_redirect(error);
        }
        *self.current.lock().await = None;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Returns a text that differs between runs of a server, and, within one run, before and after it was a replica of another
/// server. `read.lua` returns the same text.
fn parse_server_run(info: &str) -> Option<String> {
    let value = |name| info.lines().find_map(|line| line.strip_prefix(name));
    Some(format!("{}/{}", value("run_id:")?, value("master_replid:")?))
}

#[cfg(feature = "redis-tls")]
fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// Returns the connection info with another address.
fn with_address(info: ConnectionInfo, new_host: String, new_port: u16) -> ConnectionInfo {
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::TcpTls { host, port, .. } => (*host, *port) = (new_host, new_port),
        address => *address = ConnectionAddr::Tcp(new_host, new_port),
    }
    info.set_addr(address)
}

const PUBLISH: &str = include_str!("publish.lua");

const READ: &str = concat!(include_str!("page.lua"), include_str!("read.lua"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of redirects of one connection. While slots of a cluster move, a redirect may be outdated.
const MAX_REDIRECTS: usize = 2;
