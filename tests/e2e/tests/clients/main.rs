//! Real clients as readers: curl, the SDKs of OpenAI and Anthropic, httpx-sse, sseclient-py and clients of npm.
//!
//! Above all, no client dispatches an event for a heartbeat or for the prelude. So heartbeats are sent every few milliseconds
//! here, some between any two events, and the reports of a client have to be the exact list of events.

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
