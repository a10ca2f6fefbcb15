//! What the tests of all clients share: certificates of a private authority, a server over TLS, and a
//! gRPC service.

mod authority;
mod front;
pub mod notes;

pub use authority::{Authority, Identity};
pub use front::Front;
