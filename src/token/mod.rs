//! Tokens: their life, the slot that holds the current one, and the flight that fetches the next.
//!
//! # Layout
//!
//! - [`lifetime`], [`backoff`] and [`patience`] decide, as pure functions of times;
//! - [`access_token`] is a token in the form in which requests carry it;
//! - [`ledger`] is all that is known of one token, and what each event makes of it;
//! - [`slot`] is the ledger among clocks and tasks: what requests talk to;
//! - [`flight`] fetches, in a task that no caller owns;
//! - [`alarm`] has a token renewed that no request asks for;
//! - [`status`] is what an operator sees.

mod access_token;
mod alarm;
mod backoff;
mod flight;
mod ledger;
mod lifetime;
#[cfg(all(test, partner_auth_loom))]
mod loom;
mod patience;
#[cfg(test)]
mod properties;
mod slot;
mod status;
#[cfg(all(test, not(partner_auth_loom)))]
mod stress;

pub(crate) use access_token::Presented;
pub(crate) use flight::{Answer, Wait};
pub(crate) use lifetime::Windows;
pub(crate) use patience::Patience;
pub(crate) use slot::{Acquired, NotRenewed, Slot, SlotConfig};
pub use status::{FetchOutcome, LastFetch, TokenState, TokenStatus};
