//! Laws F1 to F4 over a real Redis, counted at the token server. It is asked for:
//!
//! ```text
//! apt-get install --no-install-recommends redis-server
//! cargo test --all-features --test redis -- --ignored
//! ```

mod common;

#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/fleet.rs"]
mod fleet;
#[path = "redis/garbage.rs"]
mod garbage;
#[path = "redis/process.rs"]
mod process;
#[path = "redis/processes.rs"]
mod processes;
#[path = "redis/proxy.rs"]
mod proxy;
#[path = "redis/secrecy.rs"]
mod secrecy;
#[path = "redis/server.rs"]
mod server;
#[path = "redis/sharing.rs"]
mod sharing;
