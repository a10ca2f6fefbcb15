//! What the fuzz targets share: an HTTP answer written as text, the grant and the layer over
//! services in memory, and JSON read a second way. Everything goes through the public API, the door
//! that an attacker uses.

mod answer;
mod client;
mod generator;
mod json;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub use answer::Answer;
pub use client::{
    CLIENT_SECRET, ask, credentials, debug_holds, get, runtime, said, send, token_of, token_source,
};
pub use generator::{blanks, recased, text};
pub use json::Members;

/// The longest answer of a token endpoint that the crate reads, in bytes (law T7).
pub const MAX_ANSWER: usize = 64 * 1024;

/// The output of a future that has nothing to wait for.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future over services in memory has to wait"),
    }
}
