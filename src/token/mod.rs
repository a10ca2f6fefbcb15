//! Tokens: their life, the slot that holds the current one, and the flight that fetches the next.
//!
//! # Layout
//!
//! - [`lifetime`], [`backoff`] and [`patience`] decide, as pure functions of times;
//! - [`access_token`] is a token in the form in which requests carry it;
//! - [`slot`] holds the current one and applies the decisions;
//! - [`flight`] fetches, in a task that no caller owns.

mod access_token;
mod backoff;
mod flight;
mod lifetime;
mod patience;
mod slot;

pub(crate) use access_token::Presented;
pub(crate) use flight::{Answer, Wait};
pub(crate) use patience::Patience;
pub(crate) use slot::{Acquired, NotRenewed, Renewal, Slot, SlotConfig};
