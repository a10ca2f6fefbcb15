//! The token that a fetch is to bring a newer one than.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use tokio::time::Instant;

/// The last token of a slot, of which nothing can be told but whether another is the same.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    fingerprint: u64,
    requested_at: Instant,
    rejected: bool,
    forgotten: bool,
}

/// Under a random key, so that nobody can make two that are alike. It never leaves the process.
fn fingerprint(token: &str) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one(token)
}

impl Known {
    pub(crate) fn new(token: &str, requested_at: Instant) -> Self {
        Self { fingerprint: fingerprint(token), requested_at, rejected: false, forgotten: false }
    }

    /// The operator wants no more of it.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Whether it would do no good to be given it again.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.rejected || self.forgotten
    }

    /// The same, as one that was, or was not, rejected.
    pub(crate) fn rejected(mut self, rejected: bool) -> Self {
        self.rejected = rejected;
        self
    }

    pub(crate) fn was_rejected(&self) -> bool {
        self.rejected
    }

    pub(crate) fn is(&self, token: &str) -> bool {
        self.fingerprint == fingerprint(token)
    }

    pub(crate) fn requested_at(&self) -> Instant {
        self.requested_at
    }
}
