//! Tokens shared by a fleet: a layer over the token source, as Tower's layers are.
//!
//! A flight looks into the store before it asks the token server. Where there is a newer token than
//! its own, it takes that. Where there is none, one of all processes gets the lease, fetches, and puts
//! the answer there for the rest. Whatever is wrong with the store, the flight fetches directly: a
//! store makes token requests fewer, never calls fail.
//!
//! Only flights come here: a call that has a fresh token knows nothing of a store.
//!
//! # Layout
//!
//! - [`shared`] is the trait of a store, and the words it answers in;
//! - [`keys`] makes names that tell nothing, and seals what is put under them;
//! - [`contents`] is what is sealed: a token and its life;
//! - [`fleet`] looks, leases, waits and puts;
//! - [`layer`] is a source of tokens that does so, and fetches;
//! - [`health`] counts what came of it, for `status()`;
//! - [`redis`] is the trait on a Redis.

mod contents;
mod fleet;
mod health;
mod keys;
mod layer;
#[cfg(feature = "redis")]
mod redis;
mod shared;

pub(crate) use fleet::{Fleet, StoreTimes};
pub(crate) use health::Health;
pub use health::StoreStatus;
pub use keys::{InvalidStoreKey, StoreKeys};
pub(crate) use layer::SharedTokens;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
pub use shared::{Entry, Lease, SharedStore, View};
