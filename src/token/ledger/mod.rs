//! The ledger: what is known of one token, and of fetching the next.
//!
//! Each event of a token's life is one method here, at a moment that the caller names. Nothing in it
//! waits, spawns or reads a clock, so that it can be put under a model checker and driven through
//! years in a test. The token itself is in an `ArcSwapOption`, read without a lock by every call; all
//! else is in the book, behind a mutex that only those take who find no token, or one that wants
//! attention. The lock is never held across a send.

mod book;
mod rivals;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::access_token::{AccessToken, Presented};
use super::backoff;
use super::flight::{Answer, Boarding, Brought, Cause, Flight, Ticket};
use super::lifetime::{Decision, Fetching, Lifetime, classify};
use super::status::{FetchOutcome, LastFetch, TokenState, TokenStatus};
use crate::error::{TokenError, TokenErrorKind};
#[cfg(feature = "store")]
use crate::grant::Known;
use crate::grant::TokenResponse;
use crate::scope::Scope;
use crate::sync::{ArcSwapOption, Mutex, MutexGuard, PoisonError};

use book::{Book, Pause, Why};

/// What is known of one token.
pub(super) struct Ledger {
    scope: Scope,
    schemes: Arc<[String]>,
    current: ArcSwapOption<AccessToken>,
    book: Mutex<Book>,
}

/// What a caller does next.
pub(super) enum Step {
    Use(Arc<AccessToken>),
    /// Use the token, and launch the flight behind.
    UseAndLaunch(Arc<AccessToken>, Ticket),
    /// Wait for a flight, with the deadline of the token in hand, if there is one.
    Wait(Boarding, Option<Instant>),
    Fail(TokenError),
}

/// What became of a flight that came down.
pub(super) enum Landing {
    Done(Answer),
    /// What it was sent for has changed: it has to fly again.
    Again,
    /// Nobody knows of it any more.
    Closed,
}

/// What a flight brings: a response, and the life that is reckoned for it.
pub(super) struct Delivery {
    pub(super) response: TokenResponse,
    pub(super) lifetime: Option<Lifetime>,
}

impl Ledger {
    /// A ledger without a token. `schemes` are the scheme words that routes put before it.
    pub(super) fn new(scope: Scope, schemes: Arc<[String]>) -> Self {
        Self { scope, schemes, current: ArcSwapOption::empty(), book: Mutex::default() }
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The generation of the current token; 0 if there is none.
    pub(super) fn generation(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |token| token.generation())
    }

    /// The way of nearly every call: the token, if nobody need look at the book.
    #[inline]
    pub(super) fn fresh(&self, now: Instant, scheme: usize) -> Option<Presented> {
        match &*self.current.load() {
            Some(token) if !token.needs_attention(now) => Some(token.present(scheme)),
            _ => None,
        }
    }

    /// The token, if it is alive.
    pub(super) fn live(&self, now: Instant) -> Option<Arc<AccessToken>> {
        self.current.load_full().filter(|token| token.is_live(now))
    }

    /// What a caller does that needs a token.
    pub(super) fn acquire(&self, now: Instant) -> Step {
        let mut book = self.book();
        let current = self.current.load_full();
        let phase = current.as_ref().map(|token| token.phase(now));
        match (classify(phase, book.fetching(now)), current) {
            (Decision::Use, Some(token)) => Step::Use(token),
            (Decision::UseAndFetch, Some(token)) => {
                Step::UseAndLaunch(token, self.claim(&mut book, Cause::Demand, now))
            }
            (Decision::Join | Decision::Fetch, current) => {
                let in_hand = current.filter(|token| token.is_live(now));
                let deadline = in_hand.and_then(|token| token.deadline());
                Step::Wait(book.board(Cause::Demand), deadline)
            }
            (Decision::Fail | Decision::Use | Decision::UseAndFetch, _) => {
                Step::Fail(book.last_error().unwrap_or_else(|| self.error(TokenErrorKind::Expired)))
            }
        }
    }

    /// What a caller does whose token, the one of `generation`, was rejected. It stays current for
    /// other callers until a newer one is here. `random`, from 0 up to 1, is for the head start of a
    /// rival.
    pub(super) fn renew(&self, now: Instant, generation: u64, random: f64) -> Step {
        let mut book = self.book();
        if let Some(newer) = self.newer_than(generation, now) {
            return Step::Use(newer);
        }
        if book.flight.is_none() {
            if let Some(error) = book.failing(now) {
                return Step::Fail(error);
            }
        }
        let not_before = book.rivals.head_start(now, random);
        let Boarding { answer, ticket } = book.board(Cause::Rejection);
        let ticket = ticket.map(|ticket| ticket.not_before(not_before));
        Step::Wait(Boarding { answer, ticket }, None)
    }

    /// The flight that [`renew`](Self::renew) would wait for, where nobody does.
    pub(super) fn renew_behind(
        &self,
        now: Instant,
        generation: u64,
        random: f64,
    ) -> Option<Ticket> {
        let mut book = self.book();
        let settled = self.newer_than(generation, now).is_some()
            || book.flight.is_some()
            || book.failing(now).is_some();
        let not_before = book.rivals.head_start(now, random);
        if settled {
            return None;
        }
        Some(self.claim(&mut book, Cause::Rejection, now).not_before(not_before))
    }

    /// The flight that is due without any caller.
    pub(super) fn due(&self, now: Instant) -> Option<Ticket> {
        let mut book = self.book();
        if book.closed {
            return None;
        }
        let phase = self.current.load().as_ref().map(|token| token.phase(now));
        match classify(phase, book.fetching(now)) {
            Decision::UseAndFetch | Decision::Fetch => {
                Some(self.claim(&mut book, Cause::Demand, now))
            }
            Decision::Use | Decision::Join | Decision::Fail => None,
        }
    }

    /// The one flight there may be, for nobody who waits.
    fn claim(&self, book: &mut Book, cause: Cause, now: Instant) -> Ticket {
        if let Some(current) = &*self.current.load() {
            // Until the hard edge, this flight is all the attention that the token needs.
            current.look_again_at(now + FAR);
        }
        book.claim(cause)
    }

    /// A flight that was held back asks the server from here on: what happened until then is known.
    pub(super) fn take_off(&self) {
        if let Some(flight) = &mut self.book().flight {
            flight.sent();
        }
    }

    /// A token newer than the one of `generation`, if it is alive.
    pub(super) fn newer_than(&self, generation: u64, now: Instant) -> Option<Arc<AccessToken>> {
        self.live(now).filter(|token| token.generation() > generation)
    }

    fn has(&self, token: &str) -> bool {
        self.current.load().as_ref().is_some_and(|current| current.is_same_as(token))
    }

    /// The API accepted the token of `generation` after it had rejected an older one. Gives how many
    /// tokens in a row were revoked by then, if this is news.
    pub(super) fn confirm(&self, generation: u64) -> Option<u32> {
        self.book().rivals.confirm(generation)
    }

    /// Whether a fresh token that is rejected was most likely revoked: a route is not to be blamed
    /// for that.
    pub(super) fn is_contended(&self) -> bool {
        self.book().rivals.are_likely()
    }

    /// Takes in what a flight brought, and tells all who waited for it. `random`, from 0 up to 1,
    /// is for the back-off.
    pub(super) fn land(
        &self,
        now: Instant,
        delivery: Result<Delivery, TokenError>,
        random: f64,
    ) -> Landing {
        let mut book = self.book();
        let Some(mut flight) = book.flight.take() else { return Landing::Closed };
        let brought = match &delivery {
            Err(error) => Brought::Failure(error),
            Ok(delivery) if self.has(delivery.response.access_token()) => Brought::SameToken,
            Ok(_) => Brought::NewToken,
        };
        if flight.must_fly_again(brought) {
            book.flight = Some(flight);
            // It may be in the store by now, and is not to be taken from there.
            #[cfg(feature = "store")]
            if let Ok(delivery) = &delivery {
                book.know(&delivery.response);
                book.forget_known();
            }
            return Landing::Again;
        }
        self.settle(book, flight, now, delivery, random)
    }

    /// A flight ended without landing: its runtime is gone, or its source panicked.
    pub(super) fn abort(&self, now: Instant, random: f64) -> Landing {
        let mut book = self.book();
        let Some(flight) = book.flight.take() else { return Landing::Closed };
        let error = TokenError::new(TokenErrorKind::Aborted);
        self.settle(book, flight, now, Err(error), random)
    }

    fn settle(
        &self,
        mut book: MutexGuard<'_, Book>,
        flight: Flight,
        now: Instant,
        delivery: Result<Delivery, TokenError>,
        random: f64,
    ) -> Landing {
        let answer = delivery
            .and_then(|delivery| self.publish(&mut book, &delivery, flight.cause(), now))
            .map_err(|error| self.back_off(&mut book, error, now, random));
        drop(book);
        flight.tell(&answer);
        Landing::Done(answer)
    }

    fn publish(
        &self,
        book: &mut Book,
        delivery: &Delivery,
        cause: Cause,
        now: Instant,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let Delivery { response, lifetime } = delivery;
        // RFC 6749 §5.1: a server that grants less than was asked for has to say so.
        if response.scope().is_some_and(|granted| !granted.contains(&self.scope)) {
            return Err(TokenError::new(TokenErrorKind::NarrowScope));
        }
        let current = self.current.load_full();
        let generation = match current.filter(|token| token.is_same_as(response.access_token())) {
            // A server that reuses tokens: the same string has the same end, whatever it says now.
            Some(current) if current.is_live(now) => {
                let until = now + backoff::after_no_progress(current.lifetime(), now);
                book.pause = Some(Pause { until, why: Why::NoProgress });
                book.failures = 0;
                book.last = Some((now, FetchOutcome::SameToken));
                book.rivals.same_token();
                #[cfg(feature = "store")]
                book.know(response);
                current.look_again_at(until);
                return Ok(current);
            }
            // It lives a little longer there than was known here. A request that was rejected with
            // it is not to take it for a newer one.
            Some(current) => current.generation(),
            None => book.generation + 1,
        };
        let token = AccessToken::new(response.access_token(), &self.schemes, generation, *lifetime);
        if !token.is_live(now) {
            return Err(TokenError::new(TokenErrorKind::Expired));
        }
        #[cfg(feature = "store")]
        book.know(response);
        if response.is_shared() {
            book.rivals.shared_token();
        } else {
            book.rivals.new_token(generation, cause, now);
        }
        if generation == book.generation {
            book.rivals.same_token();
        }
        book.generation = generation;
        book.failures = 0;
        book.pause = None;
        let outcome =
            if response.is_shared() { FetchOutcome::Shared } else { FetchOutcome::Fetched };
        book.last = Some((now, outcome));
        let token = Arc::new(token);
        self.current.store(Some(Arc::clone(&token)));
        Ok(token)
    }

    /// A failed fetch never displaces a token: it only sets the time of the next.
    fn back_off(
        &self,
        book: &mut Book,
        error: TokenError,
        now: Instant,
        random: f64,
    ) -> TokenError {
        let error = error.with_scope(&self.scope);
        book.failures = book.failures.saturating_add(1);
        let until = now + backoff::after_failure(&error, book.failures, random);
        book.pause = Some(Pause { until, why: Why::Failed(error.clone()) });
        book.last = Some((now, FetchOutcome::Failed(error.clone())));
        if let Some(current) = &*self.current.load() {
            current.look_again_at(until);
        }
        error
    }

    /// Forgets the token. A flight that is under way was sent before, so what it brings does not
    /// count: it flies again. A server that is down or asked for rest is not bothered sooner.
    pub(super) fn invalidate(&self) {
        let mut book = self.book();
        if let Some(flight) = &mut book.flight {
            flight.since_sent().invalidated = true;
        }
        book.forgive();
        #[cfg(feature = "store")]
        book.forget_known();
        self.current.store(None);
    }

    /// The client has a new secret. Tokens are as good as ever, but a refusal of a flight that was
    /// sent with the old one says nothing.
    pub(super) fn secret_changed(&self) {
        let mut book = self.book();
        if let Some(flight) = &mut book.flight {
            flight.since_sent().new_secret = true;
        }
        book.forgive();
    }

    /// The token that a flight for `client` has to bring a newer one than.
    #[cfg(feature = "store")]
    pub(super) fn known(&self, client: &str) -> Option<Known> {
        let mut book = self.book();
        // How old the tokens of another were says nothing of this one's.
        if book.client.as_deref() != Some(client) {
            (book.client, book.known) = (Some(client.into()), None);
        }
        let rejected = book.flight.as_ref().is_some_and(Flight::is_for_a_rejection);
        book.known.map(|known| known.rejected(rejected))
    }

    /// Ends the flight, if one is under way, and starts no other without a caller: its layer is gone.
    pub(super) fn close(&self) {
        let mut book = self.book();
        book.closed = true;
        let flight = book.flight.take();
        drop(book);
        drop(flight);
    }

    /// Whether there ever was a token.
    pub(super) fn has_had_a_token(&self) -> bool {
        self.book().generation > 0
    }

    /// How long to leave a failing server alone where no caller asks. `random` is from 0 up to 1.
    pub(super) fn unasked(&self, random: f64) -> Duration {
        backoff::unasked(self.book().failures, random)
    }

    /// Whether dropping the ledger would lose nothing.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.book().fetching(now) == Fetching::Idle && self.live(now).is_none()
    }

    /// When the next flight is due, given a caller: not known while one is under way, and never if
    /// the token lasts until it is rejected.
    pub(super) fn next_attempt(&self, now: Instant) -> Option<Instant> {
        self.book().next_attempt(self.current.load().as_deref(), now)
    }

    pub(super) fn status(&self, now: Instant) -> TokenStatus {
        let book = self.book();
        let current = self.current.load_full();
        let phase = current.as_ref().map(|token| token.phase(now));
        let deadline = current.as_ref().and_then(|token| token.deadline());
        TokenStatus {
            scope: self.scope.clone(),
            state: TokenState::of(phase),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(now)),
            generation: book.generation,
            fetching: book.flight.is_some(),
            waiting: book.flight.as_ref().map_or(0, Flight::waiting),
            last_fetch: book.last.as_ref().map(|(at, outcome)| LastFetch {
                age: now.saturating_duration_since(*at),
                outcome: outcome.clone(),
            }),
            failures: book.failures,
            evictions: book.rivals.evictions(),
            next_attempt: book
                .next_attempt(current.as_deref(), now)
                .map(|then| then.saturating_duration_since(now)),
            cooling: book.cooling(now),
        }
    }

    pub(super) fn error(&self, kind: TokenErrorKind) -> TokenError {
        TokenError::new(kind).with_scope(&self.scope)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it is held, but a poisoned lock must not end renewing either.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Farther than any token lives.
pub(super) const FAR: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
