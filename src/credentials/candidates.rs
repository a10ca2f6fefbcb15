//! The secrets of one client, and which of them is good.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::secret::{Secret, SecretValue};
use crate::error::{SecretError, SecretErrorKind};

/// The secrets, and the number of the one to begin with: the one that worked last, as a rule. There are
/// none where an authenticator stands in their place.
#[derive(Default)]
pub(crate) struct Candidates {
    list: Vec<Secret>,
    first: AtomicUsize,
}

/// A secret that is being read. Dropped meanwhile, its provider hangs or has panicked.
struct Reading<'a> {
    candidates: &'a Candidates,
    number: usize,
    done: bool,
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
        Self { list, first: AtomicUsize::new(self.first.load(Ordering::Relaxed)) }
    }

    /// The number of each once, from the one to begin with on.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.first.load(Ordering::Relaxed);
        let count = self.list.len();
        (0..count).cycle().skip(first).take(count)
    }

    /// Reads the one with this number. If that is given up, the next is the first to be tried from
    /// then on: else one that hangs would take the time of both, each time.
    pub(crate) async fn read(&self, number: usize) -> Result<SecretValue, SecretError> {
        let mut reading = Reading { candidates: self, number, done: false };
        let read = self.list[number].read().await;
        reading.done = true;
        read
    }

    /// Tries this one first from now on.
    pub(crate) fn begin_with(&self, number: usize) {
        self.first.store(number, Ordering::Relaxed);
    }

    /// Tries the next one first from now on.
    pub(crate) fn begin_after(&self, number: usize) {
        self.begin_with((number + 1) % self.list.len());
    }

    /// Why they could not be used, were they needed now, each with its number. Beside the first, a
    /// file may be still to come.
    pub(super) fn faults(&self) -> impl Iterator<Item = (usize, SecretError)> {
        self.list.iter().enumerate().filter_map(|(number, secret)| {
            let error = secret.check().err()?;
            (number == 0 || error.kind() != SecretErrorKind::NotFound).then_some((number, error))
        })
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.candidates.begin_after(self.number);
        }
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
