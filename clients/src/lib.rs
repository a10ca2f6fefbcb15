//! What the tests of all clients share: certificates of a private authority, and a server over TLS.

mod authority;
mod front;

pub use authority::{Authority, Identity};
pub use front::Front;
