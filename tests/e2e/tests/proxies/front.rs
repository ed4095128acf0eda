//! nginx, haproxy, Apache and Varnish, each with a configuration of its own, on free ports, until it is dropped.

use std::{error::Error, fmt, fs, io, net::TcpListener, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use tower_sse_e2e::{
    certificate::Certificate,
    client::LIMIT,
    document::{Document, with},
    program::Program,
};

use crate::origin::Origin;

/// A running proxy.
pub(crate) struct Front {
    // Dropped before the directory.
    _program: Program,
    place: Place,
}

/// The directory and the addresses of a proxy.
struct Place {
    directory: TempDir,
    plain: String,
    tls: String,
}

/// The protocol of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Http1,
    Http1Tls,
    Http2Tls,
}

/// Returns the configuration in `docs/proxies.md` that contains this line.
pub(crate) fn documented(language: &str, line: &str) -> String {
    Document::read("proxies.md").block(language, line)
}

/// Returns the same configuration with 6 s in place of its timeouts: thirty heartbeats of an origin.
pub(crate) fn sooner(config: &str) -> String {
    with(config, "60s", "6s")
}

impl Front {
    /// Starts nginx with documented lines for a `server`, over plain text.
    pub(crate) async fn nginx(lines: &str, origin: &Origin) -> Self {
        let lines = origin.stands_in(lines);
        Self::start("nginx", |place| place.nginx(&format!("server {{ listen {};\n{lines}}}", place.plain))).await
    }

    /// Starts nginx with a documented `server`.
    pub(crate) async fn nginx_server(server: &str, origin: &Origin) -> Self {
        let server = origin.stands_in(server);
        Self::start("nginx", |place| {
            let server = with(&server, "listen 80", &format!("listen {}", place.plain));
            let server = with(&server, "listen 443", &format!("listen {}", place.tls));
            let server = with(&server, "/etc/ssl/example.pem", &place.file(CERTIFICATE));
            place.nginx(&with(&server, "/etc/ssl/example.key", &place.file(CERTIFICATE)))
        })
        .await
    }

    /// Starts haproxy with a documented configuration.
    pub(crate) async fn haproxy(config: &str, origin: &Origin) -> Self {
        let config = origin.stands_in(config);
        Self::start("haproxy", |place| {
            let config = with(&config, "bind :80", &format!("bind {}", place.plain));
            let config = with(&config, "bind :443", &format!("bind {}", place.tls));
            with(&config, "/etc/haproxy/example.pem", &place.file(CERTIFICATE))
        })
        .await
    }

    /// Starts Apache with documented lines for its server, over plain text.
    pub(crate) async fn apache(lines: &str, origin: &Origin) -> Self {
        let lines = origin.stands_in(lines);
        Self::start("apache2", |place| place.apache(&lines)).await
    }

    /// Starts Varnish with a documented configuration, over plain text.
    pub(crate) async fn varnish(config: &str, origin: &Origin) -> Self {
        let config = with(config, "\"3000\"", &format!("\"{}\"", origin.port()));
        Self::start("varnishd", |_| config.clone()).await
    }

    async fn start(name: &str, config: impl Fn(&Place) -> String) -> Self {
        // Another process may take a port before the program does.
        for _ in 0..5 {
            let place = Place::find().expect("a directory and two ports");
            let file = place.file("config");
            fs::write(&file, config(&place)).expect("a file");
            let arguments = place.arguments(name, &file);
            let mut program = Program::start(name, arguments, &[]).expect("a shell");
            if is_up(&mut program, &place.plain).await {
                return Self { _program: program, place };
            }
            eprintln!("{name} does not listen: {}", program.said());
        }
        panic!("{name} does not start")
    }

    /// Returns the address of a path.
    pub(crate) fn url(&self, by: By, path: &str) -> String {
        match by {
            By::Http1 => format!("http://{}{path}", self.place.plain),
            By::Http1Tls | By::Http2Tls => format!("https://{}{path}", self.place.tls),
        }
    }

    /// Returns the certificate that a client has to trust.
    pub(crate) fn authority(&self) -> String {
        self.place.file(AUTHORITY)
    }

    /// Writes a file of the test's own, which is removed with the proxy.
    pub(crate) fn file(&self, name: &str) -> String {
        self.place.file(name)
    }
}

impl Place {
    fn find() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let place = Self { directory: tempfile::tempdir()?, plain: free_address()?, tls: free_address()? };
        let certificate = Certificate::new()?;
        certificate.write(Path::new(&place.file(CERTIFICATE)))?;
        certificate.write_authority(Path::new(&place.file(AUTHORITY)))?;
        Ok(place)
    }

    /// Returns the arguments with the configuration of a program, which stays in the foreground.
    fn arguments(&self, name: &str, file: &str) -> Vec<String> {
        let directory = self.file("");
        let arguments = match name {
            "nginx" => vec!["-p", &directory, "-c", file],
            "haproxy" => vec!["-db", "-f", file],
            "apache2" => vec!["-X", "-f", file],
            "varnishd" => vec!["-F", "-j", "none", "-n", &directory, "-a", &self.plain, "-f", file, "-s", "malloc,16m"],
            _ => panic!("{name} is not one of the proxies"),
        };
        arguments.into_iter().map(str::to_owned).collect()
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_string_lossy().into_owned()
    }

    /// The rest of a configuration of Apache around the lines for a server, with the modules of Debian.
    fn apache(&self, lines: &str) -> String {
        let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
            .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
            .concat();
        format!(
            "ServerRoot {0}\nDefaultRuntimeDir {0}\nPidFile {1}\nErrorLog /dev/stderr\nServerName localhost\n\
             Listen {2}\n{modules}{lines}\n",
            self.file(""),
            self.file("pid"),
            self.plain,
        )
    }

    /// The rest of a configuration of nginx around a `server`. One process: no other user, who could not read the directory.
    fn nginx(&self, server: &str) -> String {
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", self.file(name)))
            .concat();
        format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{paths}{server}\n}}\n",
            self.file("pid")
        )
    }
}

impl By {
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Http1 | Self::Http1Tls => "--http1.1",
            Self::Http2Tls => "--http2",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http1Tls => "HTTP/1.1 by TLS",
            Self::Http2Tls => "HTTP/2 by TLS",
        })
    }
}

fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string())
}

/// Waits until the proxy listens, or has ended.
async fn is_up(program: &mut Program, address: &str) -> bool {
    let until = Instant::now() + LIMIT;
    while program.is_running() && Instant::now() < until {
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}

const CERTIFICATE: &str = "server.pem";
const AUTHORITY: &str = "authority.pem";
