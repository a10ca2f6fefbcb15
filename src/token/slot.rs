//! The slot: one token of a layer, as the requests that carry it see it.
//!
//! It gives the [`Ledger`] the time of each event, launches the flights that the ledger claims, and
//! makes waiting for them something that can be polled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Uri};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tower::util::rng::{HasherRng, Rng};

use super::access_token::Presented;
use super::alarm::Alarm;
use super::flight::{self, Answer, Boarding, Ticket, Wait};
use super::ledger::{Delivery, FAR, Landing, Ledger, Step};
use super::lifetime::{self, Windows};
use super::patience::Patience;
use super::status::TokenStatus;
use crate::credentials::ClientCredentials;
use crate::error::{TokenError, TokenErrorKind};
use crate::grant::{TokenRequest, TokenResponse, TokenSource};
use crate::observe::{self, Cause, Fetch, FetchHandle, Waiting};
use crate::scope::Scope;

/// What all slots of a layer have in common.
pub(crate) struct SlotConfig {
    /// The scheme words that routes put before a token, without duplicates.
    pub(crate) schemes: Arc<[String]>,
    // A `TokenSource` need not be `Sync`; it is cloned out once a flight.
    pub(crate) source: Mutex<TokenSource>,
    pub(crate) endpoint: Uri,
    pub(crate) credentials: ArcSwap<ClientCredentials>,
    pub(crate) parameters: Arc<[(String, String)]>,
    pub(crate) headers: Arc<HeaderMap>,
    /// How long a caller waits for a token.
    pub(crate) wait_limit: Duration,
    pub(crate) windows: Windows,
    /// How long any token is used.
    pub(crate) max_age: Option<Duration>,
}

/// One token of a layer.
pub(crate) struct Slot {
    id: u64,
    config: Arc<SlotConfig>,
    ledger: Ledger,
    /// Renews the token where no traffic does.
    alarm: Option<Alarm>,
}

/// What a caller finds that needs a token.
pub(crate) enum Acquired {
    Ready(Result<Presented, TokenError>),
    /// To be [settled](Slot::settle).
    Pending(Wait),
}

/// Why there is no newer token than the rejected one.
pub(crate) enum NotRenewed {
    /// The server gave the rejected token again.
    SameToken,
    Failed(TokenError),
}

/// Whether a flight has landed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landed {
    Done,
    Again,
}

/// So many tokens in a row that another process must be revoking them.
const CONTENDED: u32 = 3;

impl Slot {
    pub(crate) fn new(scope: Scope, config: Arc<SlotConfig>, keep_warm: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let ledger = Ledger::new(scope, Arc::clone(&config.schemes));
        Self { id, config, ledger, alarm: keep_warm.then(Alarm::default) }
    }

    /// No other slot's, ever: generations of two slots do not compare.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn scope(&self) -> &Scope {
        self.ledger.scope()
    }

    /// The generation of the current token; 0 if there is none.
    pub(crate) fn generation(&self) -> u64 {
        self.ledger.generation()
    }

    /// The token for a request, in the header form of `scheme`, if there is nothing to decide: what
    /// nearly every call comes to, without a lock.
    #[inline]
    pub(crate) fn fresh(&self, scheme: usize) -> Option<Presented> {
        self.ledger.fresh(Instant::now(), scheme)
    }

    /// The token for a request, when there is no [`fresh`](Self::fresh) one.
    #[cold]
    pub(crate) fn acquire(self: &Arc<Self>, scheme: usize, patience: &mut Patience) -> Acquired {
        let now = Instant::now();
        // Before anything is claimed: waiting needs a runtime's timer as much as a flight does.
        let Ok(runtime) = Handle::try_current() else {
            let live = self.ledger.live(now).map(|token| token.present(scheme));
            return Acquired::Ready(live.ok_or_else(|| self.no_runtime()));
        };
        self.take(self.ledger.acquire(now), Cause::Demand, now, scheme, patience, &runtime)
    }

    /// What became of waiting for [`Acquired::Pending`]. A token that is still alive is better than
    /// any error.
    pub(crate) fn settle(
        self: &Arc<Self>,
        answer: Answer,
        scheme: usize,
        patience: &mut Patience,
    ) -> Acquired {
        let now = Instant::now();
        let (token, error) = match answer {
            Ok(token) => (Some(token), self.ledger.error(TokenErrorKind::Expired)),
            Err(error) => (None, error),
        };
        match token.filter(|token| token.is_live(now)).or_else(|| self.ledger.live(now)) {
            Some(token) => Acquired::Ready(Ok(token.present(scheme))),
            // The wait was cut short for the sake of a token that is gone: there is time yet.
            None if error.kind() == TokenErrorKind::WaitLimit
                && !patience.left(self.config.wait_limit, now).is_zero() =>
            {
                self.acquire(scheme, patience)
            }
            None => Acquired::Ready(Err(error)),
        }
    }

    /// The token to replay with, after the one of `generation` was rejected. What is pending is to
    /// be settled by [`settle_renewal`](Self::settle_renewal).
    pub(crate) fn renew(
        self: &Arc<Self>,
        generation: u64,
        scheme: usize,
        patience: &mut Patience,
    ) -> Acquired {
        let now = Instant::now();
        let Ok(runtime) = Handle::try_current() else {
            let newer = self.ledger.newer_than(generation, now).map(|token| token.present(scheme));
            return Acquired::Ready(newer.ok_or_else(|| self.no_runtime()));
        };
        let step = self.ledger.renew(now, generation, random());
        self.take(step, Cause::Rejection, now, scheme, patience, &runtime)
    }

    /// Starts what [`renew`](Self::renew) would, for the calls that come later.
    pub(crate) fn renew_behind(self: &Arc<Self>, generation: u64) {
        let Ok(runtime) = Handle::try_current() else { return };
        if let Some(ticket) = self.ledger.renew_behind(Instant::now(), generation, random()) {
            flight::launch(self, ticket, Cause::Rejection, &runtime);
        }
    }

    /// What became of waiting for a renewal.
    pub(crate) fn settle_renewal(
        &self,
        answer: Answer,
        generation: u64,
        scheme: usize,
    ) -> Result<Presented, NotRenewed> {
        match (self.ledger.newer_than(generation, Instant::now()), answer) {
            (Some(newer), _) => Ok(newer.present(scheme)),
            // Newer, but it has had its day already, or was forgotten.
            (None, Ok(token)) if token.generation() > generation => {
                Err(NotRenewed::Failed(self.ledger.error(TokenErrorKind::Expired)))
            }
            (None, Ok(_)) => Err(NotRenewed::SameToken),
            (None, Err(error)) => Err(NotRenewed::Failed(error)),
        }
    }

    /// The API accepted the token of `generation`, which was fetched because it had rejected the one
    /// before it. To be told by the caller for whose sake it was fetched: what others saw rejected may
    /// have been revoked by this very fetch.
    pub(crate) fn confirm(&self, generation: u64) {
        let Some(evictions) = self.ledger.confirm(generation) else { return };
        observe::token_evicted(self.scope(), generation, evictions);
        if evictions == CONTENDED {
            observe::rivals_suspected(self.scope(), evictions);
        }
    }

    /// Whether another process seems to revoke the tokens of this slot.
    pub(crate) fn is_contended(&self) -> bool {
        self.ledger.is_contended()
    }

    /// Forgets the token.
    pub(crate) fn invalidate(self: &Arc<Self>) {
        self.ledger.invalidate();
        observe::token_invalidated(self.scope());
        self.observe();
        // One that was never fetched is not to be kept warm either.
        if self.ledger.has_had_a_token() {
            self.set_alarm();
        }
    }

    /// The client has a new secret.
    pub(crate) fn secret_changed(&self) {
        self.ledger.secret_changed();
        self.observe();
    }

    /// Fetches, if that is due, without any caller.
    pub(super) fn look(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        match self.ledger.due(Instant::now()) {
            Some(ticket) => flight::launch(self, ticket, Cause::KeepWarm, &runtime),
            None => self.set_alarm(),
        }
    }

    /// For the next time that a fetch may be due. While one is under way, its landing sees to that.
    fn set_alarm(self: &Arc<Self>) {
        let Some(alarm) = &self.alarm else { return };
        let now = Instant::now();
        if let Some(then) = self.ledger.next_attempt(now) {
            alarm.set(self, then.max(now + self.ledger.unasked(random())));
        }
    }

    /// A flight that was held back asks the server from here on.
    pub(super) fn take_off(&self) {
        self.ledger.take_off();
    }

    /// Ends what is under way: the layer is gone.
    pub(crate) fn close(&self) {
        self.ledger.close();
    }

    /// Whether dropping the slot would lose nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.ledger.is_idle(Instant::now())
    }

    pub(crate) fn status(&self) -> TokenStatus {
        self.ledger.status(Instant::now())
    }

    /// Sets the gauges to how the token stands now.
    pub(crate) fn observe(&self) {
        observe::token_stands(|| self.status());
    }

    /// How the flight asks, by what is configured at its start.
    pub(super) fn order(&self, fetch: FetchHandle) -> (TokenSource, TokenRequest) {
        let config = &self.config;
        let source = config.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = TokenRequest::new(
            config.endpoint.clone(),
            ClientCredentials::clone(&config.credentials.load()),
            self.scope().clone(),
            Arc::clone(&config.parameters),
            Arc::clone(&config.headers),
        );
        #[cfg(feature = "store")]
        let known = self.ledger.known(request.credentials().client_id());
        #[cfg(feature = "store")]
        let request = request.newer_than(known);
        (source, request.of_fetch(fetch))
    }

    /// Takes in what a flight brought that was launched at `launched`.
    pub(super) fn land(
        self: &Arc<Self>,
        fetch: &mut Fetch,
        launched: Instant,
        result: Result<TokenResponse, TokenError>,
    ) -> Landed {
        let delivery = result.map(|response| {
            let requested = response.requested_at().unwrap_or(launched);
            let life = lifetime::life(response.expires_in(), self.config.max_age);
            let lifetime = life.map(|life| self.config.windows.of(requested, life, random()));
            Delivery { response: response.with_requested_at(requested), lifetime }
        });
        self.landed(fetch, self.ledger.land(Instant::now(), delivery, random()))
    }

    /// A flight ended without landing.
    pub(super) fn abort(self: &Arc<Self>, fetch: &mut Fetch) {
        self.landed(fetch, self.ledger.abort(Instant::now(), random()));
    }

    fn landed(self: &Arc<Self>, fetch: &mut Fetch, landing: Landing) -> Landed {
        let answer = match landing {
            Landing::Again => {
                fetch.repeated();
                return Landed::Again;
            }
            Landing::Closed => return Landed::Done,
            Landing::Done(answer) => answer,
        };
        self.observe();
        fetch.ended(answer.as_ref().map(|token| (token.generation(), token.deadline())));
        self.set_alarm();
        Landed::Done
    }

    fn take(
        self: &Arc<Self>,
        step: Step,
        cause: Cause,
        now: Instant,
        scheme: usize,
        patience: &mut Patience,
        runtime: &Handle,
    ) -> Acquired {
        let launch = |ticket: Ticket, cause| flight::launch(self, ticket, cause, runtime);
        match step {
            Step::Use(token) => Acquired::Ready(Ok(token.present(scheme))),
            Step::UseAndLaunch(token, ticket) => {
                launch(ticket, Cause::Renewal);
                Acquired::Ready(Ok(token.present(scheme)))
            }
            Step::Wait(Boarding { answer, ticket }, deadline) => {
                // With a live token in hand, the wait ends in time to use it.
                let in_hand = deadline.map_or(FAR, |deadline| (deadline - now) / 2);
                let limit = patience.left(self.config.wait_limit, now).min(in_hand);
                let led = ticket.is_some();
                if let Some(ticket) = ticket {
                    launch(ticket, cause);
                }
                let waiting = Waiting::begin(self.scope(), cause, led);
                Acquired::Pending(Wait::new(answer, limit, self.scope(), led, waiting))
            }
            Step::Fail(error) => Acquired::Ready(Err(error)),
        }
    }

    fn no_runtime(&self) -> TokenError {
        self.ledger.error(TokenErrorKind::NoRuntime)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        observe::token_let_go(self.scope());
    }
}

fn random() -> f64 {
    HasherRng::default().next_f64()
}
