//! The slot: where the current token of one token request is, and what happens to it.
//!
//! The token itself is in an `ArcSwapOption`, read without a lock by every call. All else is in the
//! ledger, behind a mutex that only those take who find no token, or one that wants attention: they
//! [`classify`] and act. The lock is never held across an await, a spawn or a send.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::util::rng::{HasherRng, Rng};

use super::access_token::{AccessToken, Presented};
use super::backoff;
use super::flight::{self, Answer, Flight, Wait};
use super::lifetime::{self, Decision, Fetching, Lifetime, classify};
use super::patience::Patience;
use crate::error::{TokenError, TokenErrorKind};
use crate::event::event;
use crate::grant::{TokenRequest, TokenResponse, TokenSource};

/// What all slots of a layer have in common.
pub(crate) struct SlotConfig {
    /// The scheme words that routes put before a token, without duplicates.
    pub(crate) schemes: Vec<String>,
    // A `TokenSource` need not be `Sync`; it is cloned out once a flight.
    pub(crate) source: Mutex<TokenSource>,
    /// How long a caller waits for a token.
    pub(crate) wait_limit: Duration,
    /// How long any token is used.
    pub(crate) max_age: Option<Duration>,
}

/// The current token of one token request, and how to get the next.
pub(crate) struct Slot {
    id: u64,
    request: TokenRequest,
    config: Arc<SlotConfig>,
    current: ArcSwapOption<AccessToken>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    flight: Option<Flight>,
    /// The generation of the newest token.
    generation: u64,
    /// Failed flights since the last good one.
    failures: u32,
    pause: Option<Pause>,
}

/// The server is to be left alone for a while.
struct Pause {
    until: Instant,
    why: Why,
}

enum Why {
    Failed(TokenError),
    /// It gave the same token again.
    NoProgress,
}

/// What a caller finds that needs a token.
pub(crate) enum Acquired {
    Ready(Result<Presented, TokenError>),
    /// To be [settled](Slot::settle).
    Pending(Wait),
}

/// What a caller finds whose token was rejected.
pub(crate) enum Renewal {
    /// A newer token than the rejected one, or why there is none.
    Ready(Result<Presented, NotRenewed>),
    /// To be [settled](Slot::settle_renewal).
    Pending(Wait),
}

/// Why there is no newer token than the rejected one.
pub(crate) enum NotRenewed {
    /// The server gave the rejected token again.
    SameToken,
    Failed(TokenError),
}

impl Slot {
    pub(crate) fn new(request: TokenRequest, config: Arc<SlotConfig>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, request, config, current: ArcSwapOption::empty(), ledger: Mutex::default() }
    }

    /// No other slot's, ever: generations of two slots do not compare.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The generation of the current token; 0 if there is none.
    pub(crate) fn generation(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |token| token.generation())
    }

    /// The token for a request, in the header form of `scheme`.
    pub(crate) fn acquire(self: &Arc<Self>, scheme: usize, patience: &mut Patience) -> Acquired {
        let now = Instant::now();
        match &*self.current.load() {
            Some(token) if !token.needs_attention(now) => {
                Acquired::Ready(Ok(token.present(scheme)))
            }
            _ => self.decide(now, scheme, patience),
        }
    }

    #[cold]
    fn decide(self: &Arc<Self>, now: Instant, scheme: usize, patience: &mut Patience) -> Acquired {
        let mut ledger = self.ledger();
        let current = self.current.load_full();
        let phase = current.as_ref().map(|token| token.phase(now));
        let decision = classify(phase, ledger.fetching(now));
        match (decision, current) {
            (Decision::Use, Some(token)) => Acquired::Ready(Ok(token.present(scheme))),
            (Decision::UseAndFetch, Some(token)) => {
                let flight = ledger.claim();
                drop(ledger);
                // Until the hard edge, this flight is all the attention the token needs.
                token.look_again_at(Instant::now() + FAR);
                flight::launch(self, flight);
                Acquired::Ready(Ok(token.present(scheme)))
            }
            (Decision::Join | Decision::Fetch, current) => {
                let patience = patience.left(self.config.wait_limit, now);
                let limit = while_live(current.as_deref(), now).min(patience);
                match self.join_or_launch(ledger, limit) {
                    Ok(wait) => Acquired::Pending(wait),
                    Err(error) => Acquired::Ready(Err(error)),
                }
            }
            (Decision::Fail | Decision::Use | Decision::UseAndFetch, _) => {
                let error = ledger.last_error();
                Acquired::Ready(Err(error.unwrap_or_else(|| self.error(TokenErrorKind::Expired))))
            }
        }
    }

    /// What became of waiting for [`Acquired::Pending`]. A token that is still alive is better than
    /// any error.
    pub(crate) fn settle(&self, answer: Answer, scheme: usize) -> Result<Presented, TokenError> {
        let now = Instant::now();
        let live = |token: &Arc<AccessToken>| token.is_live(now);
        let (token, error) = match answer {
            Ok(token) => (Some(token), TokenError::new(TokenErrorKind::Expired)),
            Err(error) => (None, error),
        };
        match token.filter(live).or_else(|| self.current.load_full().filter(live)) {
            Some(token) => Ok(token.present(scheme)),
            None => Err(error.with_scope(self.request.scope())),
        }
    }

    /// The token to replay with, after the one of `generation` was rejected. It stays current for
    /// other callers until a newer one is here.
    pub(crate) fn renew(
        self: &Arc<Self>,
        generation: u64,
        scheme: usize,
        patience: &mut Patience,
    ) -> Renewal {
        let ledger = self.ledger();
        if let Some(newer) = self.newer_than(generation) {
            return Renewal::Ready(Ok(newer.present(scheme)));
        }
        if ledger.flight.is_none() {
            if let Some(error) = ledger.failing(Instant::now()) {
                return Renewal::Ready(Err(NotRenewed::Failed(error)));
            }
        }
        match self.join_or_launch(ledger, patience.left(self.config.wait_limit, Instant::now())) {
            Ok(wait) => Renewal::Pending(wait),
            Err(error) => Renewal::Ready(Err(NotRenewed::Failed(error))),
        }
    }

    /// Starts what [`renew`](Self::renew) would, for the calls that come later.
    pub(crate) fn renew_behind(self: &Arc<Self>, generation: u64) {
        let mut ledger = self.ledger();
        let settled = self.newer_than(generation).is_some()
            || ledger.flight.is_some()
            || ledger.failing(Instant::now()).is_some();
        if !settled {
            let flight = ledger.claim();
            drop(ledger);
            flight::launch(self, flight);
        }
    }

    /// What became of waiting for [`Renewal::Pending`].
    pub(crate) fn settle_renewal(
        &self,
        answer: Answer,
        generation: u64,
        scheme: usize,
    ) -> Result<Presented, NotRenewed> {
        match (self.newer_than(generation), answer) {
            (Some(newer), _) => Ok(newer.present(scheme)),
            // Newer, but it has had its day already.
            (None, Ok(token)) if token.generation() > generation => {
                Err(NotRenewed::Failed(self.error(TokenErrorKind::Expired)))
            }
            (None, Ok(_)) => Err(NotRenewed::SameToken),
            (None, Err(error)) => Err(NotRenewed::Failed(error)),
        }
    }

    /// Ends the flight, if one is under way: its layer is gone.
    pub(crate) fn close(&self) {
        let flight = self.ledger().flight.take();
        drop(flight);
    }

    /// Whether dropping the slot would lose nothing.
    pub(crate) fn is_idle(&self) -> bool {
        let ledger = self.ledger();
        let now = Instant::now();
        let live = self.current.load().as_ref().is_some_and(|token| token.is_live(now));
        ledger.fetching(now) == Fetching::Idle && !live
    }

    /// How the flight asks.
    pub(super) fn order(&self) -> (TokenSource, TokenRequest) {
        let source = self.config.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (source, self.request.clone())
    }

    /// Takes in what a flight brought, and tells all who waited for it.
    pub(super) fn land(&self, launched: Instant, result: Result<TokenResponse, TokenError>) {
        let mut ledger = self.ledger();
        let Some(flight) = ledger.flight.take() else {
            // Closed meanwhile.
            return;
        };
        let answer = result
            .and_then(|response| self.check_scope(response))
            .and_then(|response| self.publish(&mut ledger, &response, launched))
            .map_err(|error| self.back_off(&mut ledger, error));
        drop(ledger);
        match &answer {
            Ok(_token) => {
                event!(debug, scope = %self.request.scope(), generation = _token.generation(), "token fetched");
            }
            Err(_error) => event!(warn, error = %_error, "token fetch failed"),
        }
        flight.land(&answer);
    }

    // RFC 6749 §5.1: a server that grants less than was asked for has to say so.
    fn check_scope(&self, response: TokenResponse) -> Result<TokenResponse, TokenError> {
        match response.scope() {
            Some(granted) if !granted.contains(self.request.scope()) => {
                Err(TokenError::new(TokenErrorKind::NarrowScope))
            }
            _ => Ok(response),
        }
    }

    fn publish(
        &self,
        ledger: &mut Ledger,
        response: &TokenResponse,
        launched: Instant,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let now = Instant::now();
        if let Some(current) = self.current.load_full() {
            // A server that reuses tokens: the same string has the same end, whatever it says now.
            if current.is_same_as(response.access_token()) && current.is_live(now) {
                let until = now + backoff::after_no_progress(current.lifetime(), now);
                ledger.pause = Some(Pause { until, why: Why::NoProgress });
                ledger.failures = 0;
                current.look_again_at(until);
                return Ok(current);
            }
        }
        let requested = response.requested_at().unwrap_or(launched);
        let life = lifetime::life(response.expires_in(), self.config.max_age);
        let lifetime = life.map(|life| Lifetime::new(requested, life, random()));
        let token = AccessToken::new(
            response.access_token(),
            &self.config.schemes,
            ledger.generation + 1,
            lifetime,
        );
        if !token.is_live(now) {
            return Err(TokenError::new(TokenErrorKind::Expired));
        }
        ledger.generation = token.generation();
        ledger.failures = 0;
        ledger.pause = None;
        let token = Arc::new(token);
        self.current.store(Some(Arc::clone(&token)));
        Ok(token)
    }

    /// A failed fetch never displaces a token: it only sets the time of the next.
    fn back_off(&self, ledger: &mut Ledger, error: TokenError) -> TokenError {
        let error = error.with_scope(self.request.scope());
        ledger.failures = ledger.failures.saturating_add(1);
        let until = Instant::now() + backoff::after_failure(&error, ledger.failures, random());
        ledger.pause = Some(Pause { until, why: Why::Failed(error.clone()) });
        if let Some(current) = &*self.current.load() {
            current.look_again_at(until);
        }
        error
    }

    fn newer_than(&self, generation: u64) -> Option<Arc<AccessToken>> {
        let now = Instant::now();
        self.current
            .load_full()
            .filter(|token| token.generation() > generation && token.is_live(now))
    }

    fn join_or_launch(
        self: &Arc<Self>,
        mut ledger: MutexGuard<'_, Ledger>,
        limit: Duration,
    ) -> Result<Wait, TokenError> {
        // Before anything is claimed: waiting needs a runtime's timer as much as a flight does.
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(self.error(TokenErrorKind::NoRuntime));
        }
        let (waiter, answer) = oneshot::channel();
        let claimed = match &mut ledger.flight {
            Some(flight) => {
                flight.join(waiter);
                None
            }
            None => {
                let ticket = ledger.claim();
                ledger.flight.as_mut().expect("just claimed").join(waiter);
                Some(ticket)
            }
        };
        drop(ledger);
        if let Some(ticket) = claimed {
            flight::launch(self, ticket);
        }
        Ok(Wait::new(answer, limit, self.request.scope()))
    }

    fn error(&self, kind: TokenErrorKind) -> TokenError {
        TokenError::new(kind).with_scope(self.request.scope())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing panics while it is held, but a poisoned lock must not end renewing either.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a caller with a live token in hand waits for another: it stops in time to use it.
fn while_live(current: Option<&AccessToken>, now: Instant) -> Duration {
    let left = current
        .and_then(AccessToken::lifetime)
        .map(|lifetime| lifetime.deadline.saturating_duration_since(now))
        .filter(|left| !left.is_zero());
    left.map_or(FAR, |left| left / 2)
}

/// Farther than any token lives.
const FAR: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);

fn random() -> f64 {
    HasherRng::default().next_f64()
}

// === impl Ledger ===

impl Ledger {
    fn fetching(&self, now: Instant) -> Fetching {
        match (&self.flight, &self.pause) {
            (Some(_), _) => Fetching::Underway,
            (None, Some(pause)) if now < pause.until => Fetching::Paused,
            (None, _) => Fetching::Idle,
        }
    }

    /// The one flight of this slot, claimed under the lock; to be launched without it.
    fn claim(&mut self) -> flight::Ticket {
        let (flight, ticket) = flight::claim();
        self.flight = Some(flight);
        ticket
    }

    /// The failure for whose sake the server is left alone yet. A token that came back the same is
    /// none: once it is rejected, the server may well have another.
    fn failing(&self, now: Instant) -> Option<TokenError> {
        match &self.pause {
            Some(Pause { until, why: Why::Failed(error) }) if now < *until => Some(error.clone()),
            _ => None,
        }
    }

    fn last_error(&self) -> Option<TokenError> {
        match &self.pause {
            Some(Pause { why: Why::Failed(error), .. }) => Some(error.clone()),
            _ => None,
        }
    }
}
