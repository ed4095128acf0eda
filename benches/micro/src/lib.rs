//! The hot paths of tower-sse, each as something that can be run so many times.

mod bodies;
mod codec;
mod requests;

use tower_sse::Negotiate;

/// One hot path.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Case {
    /// The measured code.
    pub name: &'static str,
    /// Whose it is: this crate's, `us`, or what it is compared with.
    pub whose: &'static str,
    /// Makes everything ready. What it gives runs the path so many times.
    pub prepare: fn() -> Box<dyn FnMut(u32)>,
}

impl Case {
    const fn us(name: &'static str, prepare: fn() -> Box<dyn FnMut(u32)>) -> Self {
        Self { name, whose: "us", prepare }
    }
}

/// All of them.
pub const CASES: &[Case] = &[
    Case::us("encode 64 B", || codec::encode(64, 1)),
    Case::us("encode 1 KiB", || codec::encode(1024, 1)),
    Case::us("encode 16 KiB of many lines", || codec::encode(16 * 1024, 256)),
    Case { name: "encode 64 B", whose: "by hand", prepare: || codec::by_hand(64, 1) },
    Case { name: "encode 1 KiB", whose: "by hand", prepare: || codec::by_hand(1024, 1) },
    Case { name: "encode 16 KiB of many lines", whose: "by hand", prepare: || codec::by_hand(16 * 1024, 256) },
    Case::us("encode 64 B, and share it", || codec::share(64)),
    Case::us("json 64 B", || codec::json(1)),
    Case::us("json 1 KiB", || codec::json(14)),
    Case::us("json 16 KiB", || codec::json(220)),
    Case { name: "json 64 B", whose: "serde_json::to_writer", prepare: || codec::serde_json(1) },
    Case { name: "json 1 KiB", whose: "serde_json::to_writer", prepare: || codec::serde_json(14) },
    Case { name: "json 16 KiB", whose: "serde_json::to_writer", prepare: || codec::serde_json(220) },
    Case::us("decode 64 B", || codec::decode(64)),
    Case::us("decode 1 KiB", || codec::decode(1024)),
    Case::us("accept of a browser, inside", || requests::inside(Some(requests::BROWSER), Negotiate::Listed)),
    Case {
        name: "accept of a browser, inside",
        whose: "no layer",
        prepare: || requests::no_layer(Some(requests::BROWSER)),
    },
    Case::us("accept of a browser, weighed", || requests::inside(Some(requests::BROWSER), Negotiate::Wildcards)),
    Case::us("accept absent, inside", || requests::inside(None, Negotiate::Listed)),
    Case::us("inside without negotiation", requests::untouched),
    Case { name: "inside without negotiation", whose: "no layer", prepare: || requests::no_layer(None) },
    Case::us("a page under decorate", || requests::decorated(false)),
    Case::us("a page under decorate with streams and a key", || requests::decorated(true)),
    Case::us("a stream from request to prelude", requests::stream),
    Case::us("idle body, one poll", bodies::idle),
    Case::us("idle body with every hook, one poll", bodies::idle_with_hooks),
    Case::us("shared event, publish and one poll of each of 16", bodies::watched),
    Case::us("publish", || bodies::publish(1)),
    Case::us("publish with 10,000 subscribers", || bodies::publish(10_000)),
    Case::us("a frame of a flood, events of 64 B", || bodies::flood(64)),
    Case::us("a frame of a flood, an event of 16 KiB", || bodies::flood(16 * 1024)),
];
