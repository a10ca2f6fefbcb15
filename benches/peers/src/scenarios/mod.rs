//! The scenarios, one file each: every one takes the peers and gives a table.

mod cold_herd;
mod expiry;
mod failing;
mod revoked;
mod warm;

use std::thread;

use crate::peer::Entry;
use crate::report::{Row, Table};

/// How much of a scenario is run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Size {
    Full,
    /// To see that it runs: its figures are worth little.
    Quick,
}

impl Size {
    fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
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

/// A row of each peer, in a scenario about what happens to tokens. One after another, so that none
/// disturbs the next; all at once where the figures are worth little.
fn rows(entries: &[Entry], size: Size, row: impl Fn(&Entry) -> Row + Sync) -> Vec<Row> {
    let entries = entries.iter().filter(|entry| !entry.about.warm_only);
    match size {
        Size::Full => entries.map(row).collect(),
        Size::Quick => thread::scope(|scope| {
            let rows: Vec<_> = entries.map(|entry| scope.spawn(|| row(entry))).collect();
            rows.into_iter().map(|row| row.join().expect("a row is no panic")).collect()
        }),
    }
}
