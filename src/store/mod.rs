//! Tokens shared by a fleet: a hundred processes that use one client fetch each token once, and do not
//! revoke it for one another.
//!
//! ```
//! use tower_partner_auth::store::{RedisStore, StoreKeys};
//! use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, Route};
//!
//! # #[cfg(feature = "redis")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedisStore::connect("redis://127.0.0.1:6379")?;
//! // `openssl rand -base64 32`, the same for all processes.
//! let keys = StoreKeys::from_base64("q2y2wZcz1y1j1bJWn0cLR0XJKsHnnhWlkSxv9pYdq6k=")?;
//! let auth = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
//!     .token_url("https://accounts.example.com/oauth/token")
//!     .route(Route::any("https://api.example.com/{*path}", "api"))
//!     .shared_store(store, keys)
//!     .build()?;
//! # let _ = auth;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "redis"))]
//! # fn main() {}
//! ```
//!
//! A fetch looks into the store before it asks the token server. Where there is a newer token than
//! its own, it takes that. Where there is none, one of all processes gets the lease, fetches, and puts
//! the answer there for the rest. Whatever is wrong with the store, the token is fetched directly: a
//! store makes token requests fewer, never calls fail.
//!
//! Only fetches come here: a call that has a fresh token knows nothing of a store.
//!
//! Tokens are sealed under the operator's [`StoreKeys`], and their names tell nothing. On a
//! `RedisStore`, with the feature `redis`; any other store is an implementation of
//! [`SharedStore`].

// `shared` is the trait of a store, and the words it answers in; `keys` makes names that tell nothing,
// and seals what is put under them; `contents` is what is sealed: a token and its life; `fleet` looks,
// leases, waits and puts; `layer` is a source of tokens that does so, and fetches; `health` counts what
// came of it, for `status()`; `redis` is the trait on a Redis.
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
