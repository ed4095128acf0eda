//! Hubs that are fed: by a backplane in memory, which is all that a backplane has to be.

mod ends;
mod fed;
pub(crate) mod given;
mod keys;
mod many;
pub(crate) mod memory;
mod old;
mod renewed;
mod waiting;
mod wrong;

#[cfg(feature = "test-util")]
#[tokio::test(start_paused = true)]
async fn one_in_memory_keeps_the_contract() {
    tower_sse::backplane::suite::run(|| {
        let memory = memory::Memory::new();
        move || memory.node()
    })
    .await;
}
