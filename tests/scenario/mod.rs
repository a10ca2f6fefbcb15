//! Runs the scenario vectors of `tests/vectors` against the layer, under paused time.
//!
//! All that is not the layer is a model in memory, written as one would write it in any language: it
//! uses the public API alone, and knows nothing of how the layer decides.
//!
//! # Layout
//!
//! - [`format`] is the JSON of a vector, and [`span`] a duration in it;
//! - [`tokens`] are the tokens that exist, [`token_server`] issues them, [`api`] judges them;
//! - [`body`] is what requests send, and how it has to arrive;
//! - [`world`] is what these share, and the list of broken invariants;
//! - [`layer`] builds the layer, [`caller`] is one call through it;
//! - [`check`] compares what came with what is expected, [`runner`] does the steps.

mod api;
mod body;
mod caller;
mod check;
mod format;
mod layer;
mod runner;
mod span;
mod token_server;
mod tokens;
mod world;

pub(crate) use format::Vector;
pub(crate) use runner::run;
