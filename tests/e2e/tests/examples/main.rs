//! Each example, started as its own process, over a real socket: its page, its stream, and what it promises beyond.

#![cfg(test)]

mod axum;
mod hyper;
mod llm;
mod proxy;
mod quickstart;
mod support;
mod tonic;
