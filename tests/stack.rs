//! The layer among other layers, under and over each: what STACK.md says, shown.

mod common;

#[path = "stack/logs.rs"]
mod logs;
#[path = "stack/redirects.rs"]
mod redirects;
#[path = "stack/retries.rs"]
mod retries;
#[path = "stack/waits.rs"]
mod waits;
