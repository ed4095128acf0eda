//! Each example, started as its own process, over a real socket: its page, its stream, and what it promises beyond.

#![cfg(test)]

mod axum;
mod chat;
mod dashboard;
mod hyper;
mod llm;
mod progress;
mod proxy;
mod quickstart;
mod support;
mod tonic;
