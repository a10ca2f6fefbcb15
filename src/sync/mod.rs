//! The synchronisation primitives of the rooms that are model-checked: the usual ones, or, under the
//! model checker, those of [loom](https://docs.rs/loom).
//!
//! Loom runs a model in every order in which its threads can meet, and sees only the meetings at its
//! own primitives. So these rooms take theirs from here. Their models stand beside them, in modules
//! named `loom`; `.ci/models` runs them. The cfg is our own, as `--cfg loom` would also turn our
//! dependencies' insides over.

#[cfg(all(test, partner_auth_loom))]
pub(crate) mod model;

pub(crate) use std::sync::PoisonError;
#[cfg(all(test, partner_auth_loom))]
pub(crate) use {
    // This `Arc` finds leaks. What an `ArcSwapOption` holds is in `std`'s.
    ::loom::sync::{Arc, Mutex, MutexGuard, atomic::AtomicBool},
    model::{ArcSwapOption, AtomicU64, oneshot},
};
#[cfg(not(all(test, partner_auth_loom)))]
pub(crate) use {
    arc_swap::ArcSwapOption,
    std::sync::atomic::{AtomicBool, AtomicU64},
    std::sync::{Arc, Mutex, MutexGuard},
    tokio::sync::oneshot,
};
