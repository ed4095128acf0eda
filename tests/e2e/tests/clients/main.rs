//! Real clients as readers: curl, the SDKs of OpenAI and Anthropic, httpx-sse, sseclient-py and clients of npm.
//!
//! Above all, no client makes an event of a heartbeat or of the prelude. So heartbeats go out every few milliseconds here,
//! some between any two events, and what a client reports has to be the exact list of events.

#![cfg(test)]

mod curl;
mod cut;
mod decoders;
mod google;
mod programs;
mod retry;
mod score;
mod sdks;
mod server;
mod waits;
