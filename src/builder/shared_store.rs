//! The part of the builder that is about a store shared by a fleet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Builder;
use crate::grant::{Timeouts, TokenSource, boxed_source};
use crate::store::{Fleet, Health, SharedStore, SharedTokens, StoreKeys, StoreTimes};

const DEFAULT_LEASE: Duration = Duration::from_secs(5);
const DEFAULT_ANSWER: Duration = Duration::from_millis(250);

/// Puts the store over a source.
type Wrap = Box<dyn FnOnce(TokenSource, StoreTimes, Arc<Health>) -> TokenSource + Send>;

pub(super) struct SharedStoreConfig {
    wrap: Option<Wrap>,
    pub(super) lease: Duration,
    pub(super) answer: Duration,
}

impl Builder {
    /// Shares tokens with all processes that use the same store and keys, so that a fleet fetches
    /// each token once. They have to agree on the client, the token URL, the scopes and the parameters
    /// as well: of what differs in any of these, nothing is shared.
    ///
    /// Only fetches go to the store; a call that has a fresh token does not. While the store is
    /// down, slow, full or holds garbage, each process fetches for itself, and
    /// [`status()`](crate::PartnerAuthLayer::status) tells.
    pub fn shared_store<T: SharedStore>(mut self, store: T, keys: StoreKeys) -> Self {
        self.store.wrap = Some(Box::new(|source, times, health| {
            boxed_source(SharedTokens::new(source, Fleet::new(store, keys, times, health)))
        }));
        self
    }

    /// How long one process has to fetch a token before another may try: a process that dies in
    /// mid-fetch delays the others by this. It should be the same in all of them: nobody waits for
    /// longer than its own; and longer than the token server ever takes, as what comes later is used
    /// by its fetcher alone. Default: 5 seconds.
    pub fn store_lease(mut self, time: Duration) -> Self {
        self.store.lease = time;
        self
    }

    /// How long the shared store has to answer, before the fetch goes on without it. It is never more
    /// than an eighth of [`token_timeout`](Self::token_timeout), so that asking the store takes no
    /// fetch its time. Default: 250 milliseconds.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store.answer = timeout;
        self
    }

    /// `source` with the store over it, if there is one, and how that one does.
    pub(super) fn shared(&mut self, source: TokenSource) -> (TokenSource, Option<Arc<Health>>) {
        let Some(wrap) = self.store.wrap.take() else { return (source, None) };
        let Timeouts { total, attempt, .. } = self.timeouts;
        let times = StoreTimes {
            lease: self.store.lease,
            answer: self.store.answer.min(total / 8),
            // What is left of the flight is for a fetch of its own.
            patience: total.saturating_sub(attempt),
            hard_window: self.windows.hard,
            max_age: self.max_token_age,
        };
        let health = Arc::<Health>::default();
        (wrap(source, times, Arc::clone(&health)), Some(health))
    }
}

impl Default for SharedStoreConfig {
    fn default() -> Self {
        Self { wrap: None, lease: DEFAULT_LEASE, answer: DEFAULT_ANSWER }
    }
}

impl fmt::Debug for SharedStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStoreConfig")
            .field("shared", &self.wrap.is_some())
            .field("lease", &self.lease)
            .field("answer", &self.answer)
            .finish()
    }
}
