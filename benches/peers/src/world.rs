//! A world for one peer in one scenario: a partner and a runtime that nobody else uses, so that no
//! peer meets another's tasks.

use std::time::Duration;

use crate::partner::{Partner, Policy};
use crate::peer::Failure;

/// A life that ends in no scenario.
pub(crate) const LONG: Duration = Duration::from_secs(2 * 60 * 60);

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Runs `scenario` in a new world, which ends with it.
pub(crate) fn in_a_world<T>(
    policy: Policy,
    scenario: impl AsyncFnOnce(Partner) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let partner = Partner::start(policy)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(scenario(partner));
    // Not awaited: a peer's worker may sleep for hours.
    runtime.shutdown_background();
    outcome
}
