//! Replicated hubs, fed by a backplane in memory or by the test.

mod age;
mod apply;
mod catch_up;
mod epoch;
mod full_registry;
mod keys;
mod malformed;
pub(crate) mod manual;
pub(crate) mod memory;
mod restart;

#[cfg(feature = "test-util")]
#[tokio::test(start_paused = true)]
async fn in_memory_backplane_conforms_to_the_contract() {
    tower_sse::backplane::conformance::run(|| {
        let memory = memory::Memory::new();
        move || memory.node()
    })
    .await;
}
