//! Each example, started as a separate process, over a real socket: its page, its stream, and its further promises.

#![cfg(test)]

mod axum;
mod chat;
mod cores;
mod dashboard;
mod hyper;
mod llm;
mod progress;
mod proxy;
mod quickstart;
mod support;
mod tonic;
