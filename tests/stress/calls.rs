//! What a call may carry, and what it may be answered.

use std::convert::Infallible;

use http::{Response, StatusCode};
use tokio::time::Instant;
use tower_partner_auth::{AuthOutcome, Error, Rejection, TokenError, TokenErrorKind};

use super::{Books, Changes, End, Place};

/// A request as the API saw it.
pub(super) struct Attempt {
    token: String,
    rejected: bool,
}

/// A call, and what was known when it began. It travels in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) place: Place,
    began: u64,
    at: Instant,
    clients: Changes,
    invalidations: Changes,
}

// === the API ===

impl Books {
    /// A request arrives with a token: whether that is good. `own` is the API's own reason to reject it.
    pub(crate) fn accepts(&mut self, call: &Call, name: &str, own: bool, now: Instant) -> bool {
        let Some(token) = self.tokens.get_mut(name) else {
            self.breach(format!("{call:?} carries {name}, which nobody issued"));
            return false;
        };
        let rejected = token.revoked || own;
        token.rejected |= rejected;
        let mut breaches = Vec::new();
        if token.scope != call.place.1 {
            breaches.push(format!("a token of scope {:?}", token.scope));
        }
        if self.exact && token.deadline().is_some_and(|deadline| deadline <= now) {
            breaches.push("an expired token".to_owned());
        }
        if token.asked_after < call.invalidations.done {
            breaches.push("a token that was forgotten before".to_owned());
        }
        if token.client < call.clients.done {
            breaches.push("a token of the client before".to_owned());
        }
        let attempts = self.calls.entry(call.number).or_default();
        match &attempts[..] {
            [] => {}
            [first] if !first.rejected => {
                breaches.push("a replay of what was not rejected".to_owned())
            }
            // A server that gives a revoked token again leaves no other.
            [first] if first.token == name && token.lives.len() == 1 => {
                breaches.push("a replay with the same token".to_owned());
            }
            [_] => {}
            _ => breaches.push("a second replay".to_owned()),
        }
        attempts.push(Attempt { token: name.to_owned(), rejected });
        for breach in breaches {
            self.breach(format!("{call:?} carries {name}: {breach}"));
        }
        !rejected
    }
}

// === the caller ===

impl Books {
    pub(crate) fn begin(&mut self, number: u64, place: Place) -> Call {
        let began = self.tick();
        let invalidations = self.account(&place.1).invalidations;
        Call { number, place, began, at: Instant::now(), clients: self.clients, invalidations }
    }

    /// The call ended with this answer: the laws must allow it.
    pub(crate) fn answered<B>(
        &mut self,
        call: &Call,
        replays: bool,
        answer: &Result<Response<B>, Error<Infallible>>,
    ) {
        let ended = self.tick();
        let attempts: Vec<bool> = self
            .calls
            .get(&call.number)
            .into_iter()
            .flatten()
            .map(|attempt| attempt.rejected)
            .collect();
        let response = match answer {
            Ok(response) => response,
            Err(Error::Token(error)) => {
                self.tally.token_errors += 1;
                // After a replay was prepared, the token may have died before the service was ready.
                if attempts.len() > 1 || !self.permits(call, error) {
                    self.breach(format!("{call:?} {attempts:?} failed with {error:?}"));
                }
                return;
            }
            Err(error) => return self.breach(format!("{call:?} failed with {error:?}")),
        };
        let outcome = response.extensions().get::<AuthOutcome>();
        let rejection = outcome.and_then(AuthOutcome::rejection);
        let replayed = outcome.is_some_and(AuthOutcome::replayed);
        self.tally.replayed += u64::from(replayed);
        let status = response.status();
        let right = match rejection {
            None => status != StatusCode::UNAUTHORIZED && attempts.last() == Some(&false),
            Some(_) if status != StatusCode::UNAUTHORIZED => false,
            Some(Rejection::InsufficientScope) => attempts.last() == Some(&false),
            Some(Rejection::FreshTokenRejected) => attempts == [true, true],
            Some(Rejection::Policy) => attempts == [true] && !replays,
            Some(Rejection::RecentlyInVain) => attempts == [true],
            Some(Rejection::SameToken) => attempts == [true] && self.was_given_the_same(call),
            Some(Rejection::RenewalFailed(error)) => {
                attempts == [true] && self.permits(call, error)
            }
            Some(_) => false,
        };
        if !right || replayed != (attempts.len() == 2) {
            self.breach(format!("{call:?} {attempts:?} ended as {status} with {outcome:?}"));
        }
        match rejection {
            None => self.tally.good += 1,
            Some(rejection) => {
                self.tally.rejected += 1;
                let place = call.place.clone();
                match rejection {
                    Rejection::RecentlyInVain => self.told_of_it.push((place, ended)),
                    Rejection::SameToken | Rejection::FreshTokenRejected | Rejection::Policy => {
                        self.in_vain.push((place, call.began));
                    }
                    _ => {}
                }
            }
        }
    }

    /// An error of a token that nobody asked for by a call.
    pub(crate) fn prewarmed(&mut self, call: &Call, result: Result<(), &TokenError>) {
        if let Err(error) = result {
            if !self.permits(call, error) {
                self.breach(format!("{:?} was prewarmed with {error:?}", call.place));
            }
        }
    }

    /// The ends of token requests that the call may have been told of: those since it began, and the
    /// one before, which the layer may have remembered.
    fn ends<'a>(&'a self, call: &Call) -> &'a [(u64, End)] {
        let ends = self.accounts.get(&call.place.1).map_or(&[][..], |account| &account.ends[..]);
        let since = ends.partition_point(|(tick, _)| *tick < call.began);
        &ends[since.saturating_sub(1)..]
    }

    fn was_given_the_same(&self, call: &Call) -> bool {
        self.ends(call).iter().any(|(_, end)| matches!(end, End::Same(..)))
    }

    /// Whether the call may fail with this error.
    fn permits(&self, call: &Call, error: &TokenError) -> bool {
        let now = Instant::now();
        let account = &self.accounts[&call.place.1];
        let failed = |(_, end): &(u64, End)| matches!(end, End::Failure { kind, .. } if *kind == error.kind());
        let invalidated = account.invalidations.begun > call.invalidations.done
            || self.clients.begun > call.clients.done;
        let died = account.deadlines.iter().any(|deadline| (call.at..=now).contains(deadline));
        match error.kind() {
            // It runs on from the first wait, also while the API takes its time, answering or
            // getting ready: what was fetched may die by then.
            TokenErrorKind::WaitLimit => {
                let in_vain = account.under_way || died || self.calls.contains_key(&call.number);
                in_vain && call.at + self.wait_limit <= now
            }
            TokenErrorKind::Expired => self.ends(call).iter().any(|(_, end)| match end {
                End::Token(name) | End::Same(name, _) => {
                    invalidated || self.tokens[name].lives().any(|life| life.deadline <= now)
                }
                End::Failure { .. } => false,
            }),
            _ => self.ends(call).iter().any(failed),
        }
    }
}
