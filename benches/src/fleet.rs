//! Which servers there are, and how each is started.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    load::{Ask, Expect, Load},
    process::{self, Process, SERVER_CORE},
};

/// A server as a case wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) http2: bool,
    /// Unpinned, with two workers where it can have them.
    pub(crate) all_cores: bool,
    /// With jemalloc in place of the C library's allocator.
    pub(crate) jemalloc: bool,
}

/// A server that runs, and its clients.
pub(crate) struct Session {
    pub(crate) server: Server,
    pub(crate) process: Process,
    pub(crate) load: Load,
}

/// Folders, and what could not be had.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// `target/bench`
    pub(crate) folder: PathBuf,
    /// Name and reason.
    pub(crate) missing: Vec<(String, String)>,
}

impl Server {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, http2: false, all_cores: false, jemalloc: false }
    }

    /// Returns the name in results.
    pub(crate) fn label(self) -> String {
        format!("{}{}", self.name, if self.jemalloc { ", jemalloc" } else { "" })
    }

    fn core(self) -> Option<usize> {
        (!self.all_cores).then_some(SERVER_CORE)
    }
}

impl Fleet {
    /// Builds and installs what there is to be had.
    pub(crate) fn new() -> io::Result<Self> {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let mut fleet = Self { folder, missing: Vec::new() };
        let peers = fleet.build_peers();
        fleet.note(&["axum", "axum-graceful", "actix", "warp", "salvo"], peers);
        let better_sse = fleet.install_better_sse();
        fleet.note(&["better-sse"], better_sse);
        let nchan = if Path::new(NCHAN).exists() { Ok(()) } else { Err("Debian's libnginx-mod-nchan is not there") };
        fleet.note(&["nchan"], nchan.map_err(io::Error::other));
        let jemalloc = if Path::new(JEMALLOC).exists() { Ok(()) } else { Err("Debian's libjemalloc2 is not there") };
        fleet.note(&["jemalloc"], jemalloc.map_err(io::Error::other));
        Ok(fleet)
    }

    /// Starts those that there are.
    pub(crate) fn start(&mut self, servers: &[Server]) -> io::Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for &server in servers {
            if self.is_missing(server.name) || (server.jemalloc && self.is_missing("jemalloc")) {
                continue;
            }
            match self.start_one(server) {
                Ok(process) => sessions.push(Session { server, load: Load::new(process.address)?, process }),
                Err(error) => self.note(&[server.name], Err(error)),
            }
        }
        Ok(sessions)
    }

    fn start_one(&self, server: Server) -> io::Result<Process> {
        let mut command = match server.name {
            "nchan" => return self.start_nchan(server),
            "better-sse" => {
                let mut command = Command::new("node");
                command.arg(self.folder.join("outside/better-sse.mjs"));
                command
            }
            "axum" | "axum-graceful" | "actix" | "warp" | "salvo" => {
                let mut command = Command::new(self.folder.join("peers/release/tower-sse-peers"));
                command.args([server.name, workers(server)]);
                command
            }
            ours => {
                let mut command = Command::new(env::current_exe()?);
                command.args(["serve", ours, workers(server)]).args(server.http2.then_some("http2"));
                command
            }
        };
        if server.jemalloc {
            command.env("LD_PRELOAD", JEMALLOC);
        }
        Process::start(command, server.core())
    }

    fn start_nchan(&self, server: Server) -> io::Result<Process> {
        let (address, folder) = (process::free_address()?, self.folder.join("nchan"));
        fs::create_dir_all(&folder)?;
        let conf = include_str!("../outside/nchan.conf")
            .replace("ADDRESS", &address.to_string())
            .replace("FOLDER", &folder.to_string_lossy())
            .replace("MODULE", NCHAN);
        let path = folder.join("nginx.conf");
        fs::write(&path, conf)?;
        // Should this program end without a word, nginx ends too.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "nginx", "-c"]).arg(path);
        Process::start_at(command, server.core(), address)
    }

    fn build_peers(&self) -> io::Result<()> {
        eprintln!("building the peers");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
        cargo.arg(source().join("peers/Cargo.toml")).arg("--target-dir").arg(self.folder.join("peers"));
        run(&mut cargo)
    }

    fn install_better_sse(&self) -> io::Result<()> {
        let folder = self.folder.join("outside");
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json", "better-sse.mjs"] {
            fs::copy(source().join("outside").join(file), folder.join(file))?;
        }
        if folder.join("node_modules/better-sse").exists() {
            return Ok(());
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix"]).arg(&folder);
        run(&mut npm)
    }

    fn is_missing(&self, name: &str) -> bool {
        self.missing.iter().any(|(missing, _)| missing == name)
    }

    /// Notes, if it is so, that these are missing.
    pub(crate) fn note(&mut self, names: &[&str], had: io::Result<()>) {
        if let Err(error) = had {
            for name in names.iter().filter(|name| !self.is_missing(name)).copied().collect::<Vec<_>>() {
                eprintln!("missing: {name}: {error}");
                self.missing.push((name.to_owned(), error.to_string()));
            }
        }
    }
}

impl Session {
    /// Opens so many streams of what is published from now on.
    pub(crate) fn watch(&mut self, streams: usize, size: usize) -> io::Result<()> {
        let expect = Expect::From { number: self.process.published[0], size };
        let in_one = self.server.http2.then_some(100);
        self.load.open(streams, Ask { target: "/events", expect, streams: in_one })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }
}

fn workers(server: Server) -> &'static str {
    if server.all_cores { "2" } else { "1" }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.lines().last().unwrap_or("it failed").to_owned()))
}

/// `target/bench`, beside where this program was built.
pub(crate) fn folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or_else(|| io::Error::other("this program is in no folder"))?;
    Ok(target.join("bench"))
}

/// `benches`
pub(crate) fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
