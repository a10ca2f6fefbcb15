//! How the store does, as an operator sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;
use tower::BoxError;

use crate::observe::{self, StoreOperation, StoreResult};
use crate::scope::Scope;

/// How the shared store does: see [`Status::store`](crate::Status::store). All counts are those of
/// this process, since the layer was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Whether the store answered when it was last asked. While it does not, tokens are fetched
    /// directly, as without a store.
    pub available: bool,
    /// Tokens that were taken from the store.
    pub taken: u64,
    /// Tokens that were put into the store.
    pub put: u64,
    /// Fetches beside the store, because it failed, or because no token came into it in time.
    pub direct: u64,
    /// Times that the store could not be asked, or did not answer in time.
    pub failures: u64,
    /// Entries that could not be opened: garbage, of another key, or moved or changed by somebody.
    pub unreadable: u64,
    /// Tokens that were fetched too slowly: another had been granted the lease meanwhile.
    pub late: u64,
}

/// The counts, as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Health {
    unavailable: AtomicBool,
    taken: AtomicU64,
    put: AtomicU64,
    direct: AtomicU64,
    failures: AtomicU64,
    unreadable: AtomicU64,
    late: AtomicU64,
}

impl Health {
    pub(super) fn answered(&self, operation: StoreOperation) {
        self.unavailable.store(false, Ordering::Relaxed);
        observe::store_answered(operation);
    }

    /// `None` if it did not answer in time.
    pub(super) fn failed(&self, operation: StoreOperation, error: Option<&BoxError>) {
        self.unavailable.store(true, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        observe::store_failed(operation, error);
    }

    pub(super) fn used(&self, scope: &Scope, result: StoreResult) {
        let count = match result {
            StoreResult::Taken => &self.taken,
            StoreResult::Put => &self.put,
            StoreResult::Late => &self.late,
            StoreResult::Direct => &self.direct,
            StoreResult::Unreadable => &self.unreadable,
        };
        count.fetch_add(1, Ordering::Relaxed);
        observe::store_used(scope, result);
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreStatus {
            available: !self.unavailable.load(Ordering::Relaxed),
            taken: count(&self.taken),
            put: count(&self.put),
            direct: count(&self.direct),
            failures: count(&self.failures),
            unreadable: count(&self.unreadable),
            late: count(&self.late),
        }
    }
}
