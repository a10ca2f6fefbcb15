//! What is not as it should be.

use std::error::Error;
use std::fmt::Debug;

/// One line each.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<String>);

impl Faults {
    pub(crate) fn check(&mut self, fine: bool, fault: impl FnOnce() -> String) {
        if !fine {
            self.0.push(fault());
        }
    }

    pub(crate) fn expect<T: PartialEq + Debug>(&mut self, what: &str, seen: T, due: T) {
        self.check(seen == due, || format!("{what}: {seen:?}, not {due:?}"));
    }
}

pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
