//! What one process does in a store that it shares with others.
//!
//! ```text
//! look ──▶ a newer token ─────────────────────────────▶ take it
//!   │ none
//! lease ─▶ granted ─▶ fetch ─▶ put it there, for the rest
//!   │ held by another
//! wait, look again, longer and longer apart ──▶ too long ─▶ fetch directly
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tower::BoxError;
use tower::util::rng::{HasherRng, Rng};

use super::health::Health;
use super::keys::{Room, StoreKeys, unique};
use super::shared::{Entry, Lease, SharedStore, View};
use crate::grant::{Known, SHORTEST_LIFE, TokenRequest, TokenResponse};
use crate::observe::{StoreOperation, StoreResult};
use crate::scope::Scope;

/// The first pause between two looks, and the longest. A fetch takes some hundred milliseconds: a
/// waiter looks a handful of times, and no more often than twice a second at a server that hangs.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// For how long an entry is kept whose token has no end: longer than any process is away.
const KEEP_ENDLESS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The times that a store is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreTimes {
    /// How long the lease is granted for: what a holder that dies delays the others by.
    pub(crate) lease: Duration,
    /// How long one answer of the store is waited for.
    pub(crate) answer: Duration,
    /// How long a flight waits for another process' token.
    pub(crate) patience: Duration,
    /// How long before its end a token is not taken any more; a tenth of its life at most.
    pub(crate) hard_window: Duration,
    /// How long any token is used.
    pub(crate) max_age: Option<Duration>,
}

/// A store, and how it is asked.
#[derive(Clone)]
pub(crate) struct Fleet<T> {
    store: T,
    keys: StoreKeys,
    times: StoreTimes,
    health: Arc<Health>,
}

/// The store failed: it is not asked again in this flight.
pub(super) struct Unavailable;

/// What looking and leasing came to.
pub(super) enum Found {
    Token(TokenResponse),
    /// The lease of all rooms is this holder's.
    Leased(String),
    /// Another has a lease, for so long yet.
    Held(Duration),
}

fn life(response: &TokenResponse) -> Option<Duration> {
    response.expires_in().map(|life| life.max(SHORTEST_LIFE))
}

impl<T: SharedStore> Fleet<T> {
    pub(crate) fn new(store: T, keys: StoreKeys, times: StoreTimes, health: Arc<Health>) -> Self {
        Self { store, keys, times, health }
    }

    pub(super) fn rooms(&self, request: &TokenRequest) -> Vec<Room> {
        self.keys.rooms(request)
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// A token, or the lease; `None` if neither is to be had for too long.
    pub(super) async fn look_or_lease(
        &self,
        rooms: &[Room],
        request: &TokenRequest,
    ) -> Result<Option<Found>, Unavailable> {
        let Some(holder) = unique() else { return Ok(None) };
        let mut pause = FIRST_PAUSE;
        let mut held = match self.look(rooms, request).await? {
            Found::Held(left) => left,
            found => return Ok(Some(found)),
        };
        loop {
            if held.is_zero() {
                match self.lease(rooms, request, &holder).await? {
                    Found::Held(left) => held = left,
                    found => return Ok(Some(found)),
                }
            }
            // All who wait would come as one otherwise, at the end of the lease above all.
            let jitter = 0.5 + HasherRng::default().next_f64() / 2.0;
            let left = self.times.patience.saturating_sub(request.made_at().elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            sleep(pause.min(held.saturating_add(FIRST_PAUSE)).mul_f64(jitter).min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.look(rooms, request).await? {
                Found::Held(left) => held = left,
                found => return Ok(Some(found)),
            }
        }
    }

    /// Looks into all rooms. Without a token, tells how long another has a lease yet: zero, if none has.
    async fn look(&self, rooms: &[Room], request: &TokenRequest) -> Result<Found, Unavailable> {
        let mut held = Duration::ZERO;
        let mut newest: Option<TokenResponse> = None;
        for room in rooms {
            let before = Instant::now();
            let View { entry, lease } =
                self.ask(StoreOperation::Look, self.store.get(&room.name)).await?;
            // While keys are changed, there may be an older one in the first.
            let usable = self.usable(room, entry, lease, before, request);
            newest = newest.into_iter().chain(usable).max_by_key(TokenResponse::requested_at);
            match lease {
                // Longer than any is granted for: the store's clock was set back.
                Lease::Held(left) if left > self.times.lease => {}
                Lease::Held(left) => held = held.max(left),
                Lease::Free | Lease::Granted => {}
            }
        }
        Ok(newest.map_or(Found::Held(held), Found::Token))
    }

    /// Asks for the lease of all rooms, one after the other.
    async fn lease(
        &self,
        rooms: &[Room],
        request: &TokenRequest,
        holder: &str,
    ) -> Result<Found, Unavailable> {
        for (number, room) in rooms.iter().enumerate() {
            let before = Instant::now();
            let leased = self
                .ask(StoreOperation::Lease, self.store.lease(&room.name, holder, self.times.lease))
                .await;
            let (leased, found) = match leased {
                Ok(View { entry, lease }) => {
                    // Another may have put one there since the look.
                    let token = self.usable(room, entry, lease, before, request).map(Found::Token);
                    match lease {
                        Lease::Granted => (number + 1, token.map(Ok)),
                        Lease::Held(left) => (number, Some(Ok(token.unwrap_or(Found::Held(left))))),
                        Lease::Free => {
                            (number, Some(Ok(token.unwrap_or(Found::Held(FIRST_PAUSE)))))
                        }
                    }
                }
                Err(unavailable) => (number, Some(Err(unavailable))),
            };
            if let Some(found) = found {
                self.release(&rooms[..leased], holder).await;
                return found;
            }
        }
        Ok(Found::Leased(holder.to_owned()))
    }

    /// The token of an entry, if it is newer than the one that the flight is to renew, and not about
    /// to end. `before` is when the store was asked: what was told of times is at least as old.
    ///
    /// After a rejection, not if another is about to replace it: most likely it was rejected as well,
    /// or revoked for the sake of the next, and a request is sent again only once.
    fn usable(
        &self,
        room: &Room,
        entry: Option<Entry>,
        lease: Lease,
        before: Instant,
        request: &TokenRequest,
    ) -> Option<TokenResponse> {
        let rejected = request.known().is_some_and(Known::was_rejected);
        if rejected && matches!(lease, Lease::Held(_)) {
            return None;
        }
        let Entry { sealed, age } = entry?;
        // `None` if it is older than this machine's clock: no token of worth.
        let leased_at = before.checked_sub(age)?;
        let Some(response) = room.open(&sealed, leased_at) else {
            if room.found_unreadable() {
                self.health.used(request.scope(), StoreResult::Unreadable);
            }
            return None;
        };
        let requested_at = response.requested_at()?;
        let newer = request.known().is_none_or(|known| {
            if known.is(response.access_token()) {
                // A server that reuses tokens gave it to another again: there is no newer one yet.
                // When it was put there is known to be so exact, and no more.
                let since = requested_at.saturating_duration_since(known.requested_at());
                !known.is_unwanted() && since > self.times.answer
            } else {
                requested_at > known.requested_at()
            }
        });
        // Not where callers wait for the next.
        let life = [life(&response), self.times.max_age].into_iter().flatten().min();
        let age = before.saturating_duration_since(requested_at);
        let lasts = life.is_none_or(|life| age < life - (life / 10).min(self.times.hard_window));
        (newer && lasts).then_some(response)
    }

    /// `leased_at` is when the lease was there at the latest.
    pub(super) async fn put(
        &self,
        rooms: &[Room],
        holder: &str,
        leased_at: Instant,
        scope: &Scope,
        response: &TokenResponse,
    ) {
        // A source may have had its token for a while.
        let older = response
            .requested_at()
            .map_or(Duration::ZERO, |then| leased_at.saturating_duration_since(then));
        for room in rooms {
            let Some(sealed) = room.seal(response, older) else { return };
            let keep = life(response).unwrap_or(KEEP_ENDLESS).min(KEEP_ENDLESS);
            match self
                .ask(StoreOperation::Put, self.store.put(&room.name, holder, sealed, keep))
                .await
            {
                Ok(true) => self.health.used(scope, StoreResult::Put),
                Ok(false) => self.health.used(scope, StoreResult::Late),
                Err(Unavailable) => return,
            }
        }
    }

    pub(super) async fn release(&self, rooms: &[Room], holder: &str) {
        for room in rooms {
            // If it cannot be, it runs out.
            let _ = self.ask(StoreOperation::Release, self.store.release(&room.name, holder)).await;
        }
    }

    /// Waits for the store's answer, not for ever.
    async fn ask<V, E: Into<BoxError>>(
        &self,
        operation: StoreOperation,
        answer: impl Future<Output = Result<V, E>>,
    ) -> Result<V, Unavailable> {
        let failure = match timeout(self.times.answer, answer).await {
            Ok(Ok(answer)) => {
                self.health.answered(operation);
                return Ok(answer);
            }
            Ok(Err(error)) => Some(error.into()),
            Err(_) => None,
        };
        self.health.failed(operation, failure.as_ref());
        Err(Unavailable)
    }
}
