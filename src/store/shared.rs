//! What a store has to be able to do.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tower::BoxError;

/// A place that all processes of a fleet reach, where they leave tokens for each other.
///
/// It keeps one entry and one lease under each name. Entries are sealed and names tell nothing: a
/// store need not be trusted with tokens, only reached. All times are relative, so that clocks need
/// not agree; those of one name are told by one clock, the store's.
///
/// Any method may fail or hang at any time: the layer gives each a
/// [time](crate::Builder::store_timeout), counts the failure, and fetches directly.
pub trait SharedStore: Clone + Send + Sync + 'static {
    /// Why the store could not be asked.
    type Error: Into<BoxError> + Send;

    /// What there is under `name`.
    fn get(&self, name: &str) -> impl Future<Output = Result<View, Self::Error>> + Send;

    /// Grants the lease of `name` to `holder` for `time`, unless another has it. Looking and granting
    /// are one step, that no other comes between. No two holders have the same name.
    fn lease(
        &self,
        name: &str,
        holder: &str,
        time: Duration,
    ) -> impl Future<Output = Result<View, Self::Error>> + Send;

    /// Puts `sealed` there for `keep` at most and ends the lease, if `holder` was the last that it was
    /// granted to; else does nothing, however long ago it ran out. The entry's age counts from when
    /// that lease was granted. Gives whether it was put.
    fn put(
        &self,
        name: &str,
        holder: &str,
        sealed: Bytes,
        keep: Duration,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Ends the lease, if `holder` was the last that it was granted to.
    fn release(
        &self,
        name: &str,
        holder: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What there is under a name.
#[derive(Debug, Clone)]
pub struct View {
    pub(super) entry: Option<Entry>,
    pub(super) lease: Lease,
}

/// A sealed token, as it was put there.
#[derive(Clone)]
pub struct Entry {
    pub(super) sealed: Bytes,
    pub(super) age: Duration,
}

/// Who may fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lease {
    /// Nobody has the lease.
    Free,
    /// It was granted to the one who asked for it, by this very call.
    Granted,
    /// Another has it, for so long yet.
    Held(Duration),
}

impl View {
    /// An entry, if there is one, and the lease.
    pub fn new(entry: Option<Entry>, lease: Lease) -> Self {
        Self { entry, lease }
    }
}

impl Entry {
    /// What was put, and how long ago the lease was granted under which it was.
    pub fn new(sealed: Bytes, age: Duration) -> Self {
        Self { sealed, age }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("age", &self.age).finish_non_exhaustive()
    }
}
