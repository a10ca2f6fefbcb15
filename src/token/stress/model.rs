//! What a ledger may do, said as laws: given what is known, whether an operation may see what it saw.
//!
//! It is the ledger without its concurrency: no lock, no atomics, no channels. Nor does it share the
//! ledger's decisions: it compares times with edges itself. Only the lengths of pauses are taken from
//! [`backoff`], which has properties of its own.

use std::collections::BTreeSet;
use std::mem;

use tokio::time::Instant;

use super::history::{Brief, Brought, Call, Carried, Look, Operation, Reply, Saw};
use crate::error::{TokenError, TokenErrorKind};
use crate::token::backoff;
use crate::token::lifetime::Lifetime;
use crate::token::status::TokenState;

/// All that is known of one token, and of fetching the next.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Model {
    token: Option<Token>,
    newest: u64,
    flight: Option<Flight>,
    rest: Option<Rest>,
    failures: u32,
    evictions: u32,
    suspect: Option<u64>,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Token {
    carried: Carried,
    life: Option<Lifetime>,
    /// From here on callers look closer than at the token alone.
    look: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Flight {
    for_a_rejection: bool,
    token_rejected: bool,
    token_forgotten: bool,
    secret_changed: bool,
    /// The operations that wait for it, by their numbers.
    aboard: BTreeSet<usize>,
}

/// The server is left alone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rest {
    until: Instant,
    /// `None`: it gave the same token again.
    failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Failure {
    kind: TokenErrorKind,
    transient: bool,
}

impl Token {
    fn new(carried: Carried, life: Option<Lifetime>) -> Self {
        Self { carried, life, look: life.map(|life| life.soft) }
    }

    /// Never before anything can be due, and never too late to wait for a renewal.
    fn look_at(&mut self, then: Instant) {
        self.look = self.life.map(|life| then.clamp(life.soft, life.hard));
    }

    fn is_live(&self, at: Instant) -> bool {
        self.life.is_none_or(|life| at < life.deadline)
    }

    fn wants_renewal(&self, at: Instant) -> bool {
        self.life.is_some_and(|life| life.soft <= at)
    }

    fn is_about_to_expire(&self, at: Instant) -> bool {
        self.life.is_some_and(|life| life.hard <= at)
    }
}

impl Model {
    /// What is known after the operation of this number; `None` if it could not have seen here what
    /// it saw.
    pub(super) fn after(&self, number: usize, history: &[Operation]) -> Option<Self> {
        let Operation { at, call, saw, .. } = &history[number];
        let mut next = self.clone();
        let allowed = match call {
            Call::Fresh => self.fresh(*at, saw),
            Call::Acquire => next.acquire(*at, saw, number),
            Call::Renew(generation) => next.renew(*at, *generation, saw, number),
            Call::RenewBehind(generation) => next.renew_behind(*at, *generation, saw),
            Call::Due => next.due(*at, saw),
            Call::Land(brought, random) => next.land(*at, brought, *random, saw, history),
            Call::Abort(random) => next.abort(*at, *random, saw, history),
            Call::Confirm(generation) => next.confirm(*generation, saw),
            Call::Invalidate => {
                next.token = None;
                next.flight.iter_mut().for_each(|flight| flight.token_forgotten = true);
                next.forgive();
                true
            }
            Call::SecretChanged => {
                next.flight.iter_mut().for_each(|flight| flight.secret_changed = true);
                next.forgive();
                true
            }
            Call::Status => matches!(saw, Saw::Look(look) if *look == self.look(*at)),
            Call::Close => {
                next.closed = true;
                next.flight.take().is_none_or(|flight| flight.told(Reply::Gone, history))
            }
        };
        allowed.then_some(next)
    }

    fn live(&self, at: Instant) -> Option<Token> {
        self.token.filter(|token| token.is_live(at))
    }

    fn has(&self, name: u32) -> bool {
        self.token.is_some_and(|token| token.carried.name == name)
    }

    fn newer(&self, than: u64, at: Instant) -> Option<Token> {
        self.live(at).filter(|token| token.carried.generation > than)
    }

    fn resting(&self, at: Instant) -> Option<Rest> {
        self.rest.filter(|rest| at < rest.until)
    }

    /// The failure that callers are told instead of asking the server again.
    fn failing(&self, at: Instant) -> Option<Failure> {
        self.resting(at)?.failure
    }

    fn fresh(&self, at: Instant, saw: &Saw) -> bool {
        match saw {
            Saw::Use(carried) => self.token.is_some_and(|token| {
                token.carried == *carried && token.look.is_none_or(|look| at < look)
            }),
            Saw::Nothing => {
                self.token.is_none_or(|token| token.look.is_some_and(|look| look <= at))
            }
            _ => false,
        }
    }

    fn acquire(&mut self, at: Instant, saw: &Saw, number: usize) -> bool {
        let live = self.live(at);
        let nothing_to_do = self.flight.is_some() || self.resting(at).is_some();
        match saw {
            Saw::Use(carried) => live.is_some_and(|token| {
                let in_time = if token.is_about_to_expire(at) {
                    self.flight.is_none() && self.resting(at).is_some()
                } else {
                    nothing_to_do || !token.wants_renewal(at)
                };
                token.carried == *carried && in_time
            }),
            Saw::UseAndLaunch(carried) => {
                let due = live.is_some_and(|token| {
                    let soft = token.wants_renewal(at) && !token.is_about_to_expire(at);
                    token.carried == *carried && soft
                });
                due && !nothing_to_do && self.claim_behind(false)
            }
            Saw::Board { claimed, in_hand, .. } => {
                live.is_none_or(|token| token.is_about_to_expire(at))
                    && *in_hand == live.and_then(|token| Some(token.life?.deadline))
                    && (self.flight.is_some() || self.resting(at).is_none())
                    && self.board(*claimed, false, number)
            }
            Saw::Refusal(kind) => {
                let why = self.resting(at).map(|rest| rest.failure.map(|failure| failure.kind));
                live.is_none()
                    && self.flight.is_none()
                    && why.is_some_and(|why| why.unwrap_or(TokenErrorKind::Expired) == *kind)
            }
            _ => false,
        }
    }

    fn renew(&mut self, at: Instant, generation: u64, saw: &Saw, number: usize) -> bool {
        let newer = self.newer(generation, at);
        match saw {
            Saw::Use(carried) => newer.is_some_and(|token| token.carried == *carried),
            Saw::Board { claimed, in_hand: None, .. } => {
                newer.is_none()
                    && (self.flight.is_some() || self.failing(at).is_none())
                    && self.board(*claimed, true, number)
            }
            Saw::Refusal(kind) => {
                newer.is_none()
                    && self.flight.is_none()
                    && self.failing(at).is_some_and(|failure| failure.kind == *kind)
            }
            _ => false,
        }
    }

    fn renew_behind(&mut self, at: Instant, generation: u64, saw: &Saw) -> bool {
        let due = self.newer(generation, at).is_none() && self.failing(at).is_none();
        match saw {
            Saw::Claim(true) => due && self.claim_behind(true),
            Saw::Claim(false) => !due || self.flight.is_some(),
            _ => false,
        }
    }

    fn due(&mut self, at: Instant, saw: &Saw) -> bool {
        let wanted = self.token.is_none_or(|token| token.wants_renewal(at)) && !self.closed;
        let due = wanted && self.resting(at).is_none();
        match saw {
            Saw::Claim(true) => due && self.claim_behind(false),
            Saw::Claim(false) => !due || self.flight.is_some(),
            _ => false,
        }
    }

    /// A flight, if there was none.
    fn claim(&mut self, for_a_rejection: bool) -> bool {
        let free = self.flight.is_none();
        self.flight = Some(Flight { for_a_rejection, ..Flight::default() });
        free
    }

    /// A flight that nobody waits for: all that the token needs until it is about to expire.
    fn claim_behind(&mut self, for_a_rejection: bool) -> bool {
        self.token.iter_mut().for_each(|token| {
            token.life.into_iter().for_each(|life| token.look_at(life.hard));
        });
        self.claim(for_a_rejection)
    }

    fn board(&mut self, claimed: bool, for_a_rejection: bool, number: usize) -> bool {
        let as_told = claimed == self.flight.is_none();
        if claimed {
            self.claim(for_a_rejection);
        }
        if let Some(flight) = &mut self.flight {
            flight.aboard.insert(number);
            flight.token_rejected |= for_a_rejection && !flight.for_a_rejection;
        }
        as_told
    }

    fn land(
        &mut self,
        at: Instant,
        brought: &Brought,
        random: f64,
        saw: &Saw,
        history: &[Operation],
    ) -> bool {
        let Some(mut flight) = self.flight.take() else { return matches!(saw, Saw::Closed) };
        let rejected = mem::take(&mut flight.token_rejected);
        let worthless = match brought {
            // It was sent before the rejection: a server that has another now was not asked.
            Brought::Token { name, .. } if self.has(*name) => flight.token_forgotten || rejected,
            Brought::Token { .. } => flight.token_forgotten,
            // A server that is down is no less so because something has changed here.
            Brought::Failure(error) => {
                (flight.token_forgotten || flight.secret_changed) && !error.is_transient()
            }
        };
        if worthless {
            flight.for_a_rejection |= rejected;
            flight.token_forgotten = false;
            flight.secret_changed = false;
            self.flight = Some(flight);
            return matches!(saw, Saw::Again);
        }
        let answer = match brought {
            Brought::Failure(error) => Err(self.fail(error, at, random)),
            Brought::Token { narrow: true, .. } => {
                Err(self.fail(&TokenError::new(TokenErrorKind::NarrowScope), at, random))
            }
            Brought::Token { name, life, .. } => {
                self.receive(*name, *life, flight.for_a_rejection, at, random)
            }
        };
        matches!(saw, Saw::Landed(told) if *told == answer)
            && flight.told(Reply::Told(answer), history)
    }

    fn abort(&mut self, at: Instant, random: f64, saw: &Saw, history: &[Operation]) -> bool {
        let Some(flight) = self.flight.take() else { return matches!(saw, Saw::Closed) };
        let answer = Err(self.fail(&TokenError::new(TokenErrorKind::Aborted), at, random));
        matches!(saw, Saw::Landed(told) if *told == answer)
            && flight.told(Reply::Told(answer), history)
    }

    fn receive(
        &mut self,
        name: u32,
        life: Option<Lifetime>,
        for_a_rejection: bool,
        at: Instant,
        random: f64,
    ) -> Brief {
        if let Some(token) = self.live(at).filter(|token| token.carried.name == name) {
            let until = at + backoff::after_no_progress(token.life.as_ref(), at);
            self.rest = Some(Rest { until, failure: None });
            self.failures = 0;
            self.token.iter_mut().for_each(|token| token.look_at(until));
            return Ok(token.carried);
        }
        // A token that is given again past its end is no newer for that.
        let again = self.token.filter(|token| token.carried.name == name);
        let generation = again.map_or(self.newest + 1, |token| token.carried.generation);
        let token = Token::new(Carried { generation, name }, life);
        if !token.is_live(at) {
            return Err(self.fail(&TokenError::new(TokenErrorKind::Expired), at, random));
        }
        self.token = Some(token);
        self.newest = generation;
        self.rest = None;
        self.failures = 0;
        if for_a_rejection {
            self.suspect = Some(self.newest);
        } else {
            self.suspect = None;
            self.evictions = 0;
        }
        Ok(token.carried)
    }

    fn fail(&mut self, error: &TokenError, at: Instant, random: f64) -> TokenErrorKind {
        self.failures += 1;
        let until = at + backoff::after_failure(error, self.failures, random);
        let failure = Failure { kind: error.kind(), transient: error.is_transient() };
        self.rest = Some(Rest { until, failure: Some(failure) });
        self.token.iter_mut().for_each(|token| token.look_at(until));
        error.kind()
    }

    /// Something has changed here: only a server that is down is as it was.
    fn forgive(&mut self) {
        let down =
            self.rest.is_some_and(|rest| rest.failure.is_some_and(|failure| failure.transient));
        if !down {
            self.rest = None;
            self.failures = 0;
        }
    }

    fn confirm(&mut self, generation: u64, saw: &Saw) -> bool {
        let news = self.suspect == Some(generation);
        if news {
            self.suspect = None;
            self.evictions += 1;
        }
        matches!(saw, Saw::Count(count) if *count == news.then_some(self.evictions))
    }

    fn look(&self, at: Instant) -> Look {
        let state = match self.token {
            None => TokenState::Absent,
            Some(token) if !token.is_live(at) => TokenState::Expired,
            Some(token) if token.is_about_to_expire(at) => TokenState::Hard,
            Some(token) if token.wants_renewal(at) => TokenState::Soft,
            Some(_) => TokenState::Fresh,
        };
        // A call fetches: at once without a token, else from the soft edge on, and never in a rest.
        let wanted = self.token.map_or(Some(at), |token| Some(token.life?.soft));
        let wanted = wanted.filter(|_| self.flight.is_none());
        let allowed = self.rest.map_or(at, |rest| rest.until).max(at);
        Look {
            state,
            generation: self.newest,
            fetching: self.flight.is_some(),
            failures: self.failures,
            evictions: self.evictions,
            next_attempt: wanted.map(|wanted| wanted.max(allowed)),
        }
    }
}

impl Flight {
    /// Whether all were told this who waited for it, but for those who gave up.
    fn told(&self, reply: Reply, history: &[Operation]) -> bool {
        self.aboard.iter().all(|number| match &history[*number].saw {
            Saw::Board { reply: told, .. } => [reply, Reply::GaveUp].contains(told),
            _ => false,
        })
    }
}
