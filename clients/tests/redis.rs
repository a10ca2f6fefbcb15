//! The store over the connections of the crate `redis`: TLS, and a cluster. Token requests are counted
//! at the token server, commands at the Redis. It is asked for:
//!
//! ```text
//! apt-get install --no-install-recommends redis-server
//! cargo test --test redis -- --ignored
//! ```

#[path = "redis/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with the tests of the package")]
#[path = "../../tests/common/scratch.rs"]
mod scratch;
#[allow(dead_code, reason = "shared with the tests of the package")]
#[path = "../../tests/redis/server.rs"]
mod server;
#[path = "redis/tls.rs"]
mod tls;
#[path = "redis/world.rs"]
mod world;
