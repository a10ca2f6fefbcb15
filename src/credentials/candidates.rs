//! The secrets of one client, and which of them is good.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::secret::Secret;
use crate::error::{SecretError, SecretErrorKind};

/// The secrets, and the number of the one that worked last. There are none where an authenticator
/// stands in their place.
#[derive(Default)]
pub(crate) struct Candidates {
    list: Vec<Secret>,
    good: AtomicUsize,
}

impl Candidates {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn is_one(&self) -> bool {
        self.list.len() == 1
    }

    /// With one more.
    pub(super) fn and(&self, secret: Secret) -> Self {
        let list = self.list.iter().cloned().chain([secret]).collect();
        Self { list, good: AtomicUsize::new(self.good.load(Ordering::Relaxed)) }
    }

    /// Each once, with its number, from the one that worked last on.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (usize, &Secret)> {
        let good = self.good.load(Ordering::Relaxed);
        let numbered = self.list.iter().enumerate();
        numbered.cycle().skip(good).take(self.list.len())
    }

    /// The one with this number worked.
    pub(crate) fn worked(&self, number: usize) {
        self.good.store(number, Ordering::Relaxed);
    }

    /// Why they could not be used, were they needed now, each with its number. Beside the first, a file may be still to
    /// come.
    pub(super) fn faults(&self) -> impl Iterator<Item = (usize, SecretError)> {
        self.list.iter().enumerate().filter_map(|(number, secret)| {
            let error = secret.check().err()?;
            (number == 0 || error.kind() != SecretErrorKind::NotFound).then_some((number, error))
        })
    }
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.as_slice() {
            [one] => one.fmt(f),
            all => all.fmt(f),
        }
    }
}
