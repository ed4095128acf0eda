//! Hubs that are fed: by a backplane in memory, which is all that a backplane has to be.

mod fed;
mod memory;

use tower_sse::backplane::suite;

use self::memory::Memory;

#[tokio::test(start_paused = true)]
async fn one_in_memory_keeps_the_contract() {
    suite::run(|| {
        let memory = Memory::new();
        move || memory.node()
    })
    .await;
}
