//! The programs that the tests run, and their dependencies.

use std::path::Path;

use serde::de::DeserializeOwned;
use tokio::process::Command;
use tower_sse_e2e::process::run;

pub(crate) fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--no-buffer", "--noproxy", "*", "--max-time", "120"]);
    curl
}

/// A script beside this file, run by the Python that has the SDKs.
pub(crate) fn python(script: &str) -> Command {
    let mut python = Command::new(needed("TOWER_SSE_PYTHON"));
    python.arg(beside(script)).env("NO_PROXY", "*");
    python
}

/// A script beside this file, run by Node.js, which finds its packages by `NODE_PATH`.
pub(crate) fn node(script: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(beside(script)).env("NODE_PATH", needed("TOWER_SSE_NODE_PATH"));
    node
}

/// Returns the output of a script, as JSON.
pub(crate) async fn report<T: DeserializeOwned>(script: Command) -> T {
    serde_json::from_slice(&run(script).await.unwrap()).unwrap()
}

pub(crate) async fn text(program: Command) -> String {
    String::from_utf8(run(program).await.unwrap()).unwrap()
}

fn beside(script: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)
}

fn needed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; ./tests/run sets it"))
}
