#![no_main]

#[path = "../checks/decode.rs"]
mod check;
#[path = "../../tests/it/event/naive.rs"]
mod naive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check(input));
