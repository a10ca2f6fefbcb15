//! The scenarios, one file each: every one takes the peers and gives a table.

mod cold_herd;
mod expiry;
mod failing;
mod revoked;
mod warm;

use crate::peer::Entry;
use crate::report::Table;

/// How much of a scenario is run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Size {
    Full,
    /// To see that it runs: its figures are worth little.
    Quick,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[Entry], Size) -> Table,
}

pub(crate) const ALL: [Scenario; 5] = [
    Scenario { name: "warm", run: warm::run },
    Scenario { name: "herd", run: cold_herd::run },
    Scenario { name: "expiry", run: expiry::run },
    Scenario { name: "revoked", run: revoked::run },
    Scenario { name: "failing", run: failing::run },
];

/// The peers of a scenario about what happens to tokens.
fn with_life(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| !entry.about.warm_only)
}
