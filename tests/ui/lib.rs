//! Compile errors of tower-sse, as its users see them. The test is in `ui.rs`; the library is empty.
