//! The payment provider's partner API as data: its use cases, scopes, paths and hosts.
//!
//! Everything here is configuration that the layer has no other knowledge of. Where the provider's
//! pages disagree, the row carries what is known to work, or what the token API's own page says,
//! and the other reading is reached with a [`Route`](crate::Route) of your own: it takes precedence
//! over the row with the same method and path.

mod environment;
mod use_cases;

pub use environment::Environment;
pub use use_cases::{Host, USE_CASES, UseCase};
