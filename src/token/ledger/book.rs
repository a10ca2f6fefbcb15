//! The book: what the ledger keeps under its lock.

#[cfg(feature = "store")]
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::rivals::Rivals;
use crate::error::TokenError;
#[cfg(feature = "store")]
use crate::grant::{Known, TokenResponse};
use crate::token::access_token::AccessToken;
use crate::token::flight::{self, Boarding, Cause, Flight, Ticket};
use crate::token::lifetime::Fetching;
use crate::token::status::FetchOutcome;

#[derive(Default)]
pub(super) struct Book {
    pub(super) flight: Option<Flight>,
    /// The generation of the newest token. It never goes back.
    pub(super) generation: u64,
    /// Failed flights since the last good one.
    pub(super) failures: u32,
    pub(super) pause: Option<Pause>,
    /// How the last flight ended, and when.
    pub(super) last: Option<(Instant, FetchOutcome)>,
    pub(super) rivals: Rivals,
    /// The last token there was, be it expired, rejected, forgotten, or never used.
    #[cfg(feature = "store")]
    pub(super) known: Option<Known>,
    /// The client that the last flight asked for.
    #[cfg(feature = "store")]
    pub(super) client: Option<Arc<str>>,
    /// Its layer is gone.
    pub(super) closed: bool,
}

/// The server is to be left alone for a while.
pub(super) struct Pause {
    pub(super) until: Instant,
    pub(super) why: Why,
}

pub(super) enum Why {
    Failed(TokenError),
    /// It gave the same token again.
    NoProgress,
}

impl Book {
    pub(super) fn fetching(&self, now: Instant) -> Fetching {
        match (&self.flight, &self.pause) {
            (Some(_), _) => Fetching::Underway,
            (None, Some(pause)) if now < pause.until => Fetching::Paused,
            (None, _) => Fetching::Idle,
        }
    }

    /// The one flight there may be, claimed under the lock; to be launched without it.
    pub(super) fn claim(&mut self, cause: Cause) -> Ticket {
        let (flight, ticket) = flight::claim(cause);
        self.flight = Some(flight);
        ticket
    }

    /// A place on the flight; on a new one, if none is under way.
    pub(super) fn board(&mut self, cause: Cause) -> Boarding {
        let ticket = if self.flight.is_none() { Some(self.claim(cause)) } else { None };
        let flight = self.flight.as_mut().expect("there is one now");
        Boarding { answer: flight.join(cause), ticket }
    }

    /// The failure for whose sake the server is left alone yet. A token that came back the same is
    /// none: once it is rejected, the server may well have another.
    pub(super) fn failing(&self, now: Instant) -> Option<TokenError> {
        match &self.pause {
            Some(Pause { until, why: Why::Failed(error) }) if now < *until => Some(error.clone()),
            _ => None,
        }
    }

    pub(super) fn last_error(&self) -> Option<TokenError> {
        match &self.pause {
            Some(Pause { why: Why::Failed(error), .. }) => Some(error.clone()),
            _ => None,
        }
    }

    #[cfg(feature = "store")]
    pub(super) fn know(&mut self, response: &TokenResponse) {
        if let Some(requested_at) = response.requested_at() {
            self.known = Some(Known::new(response.access_token(), requested_at));
        }
    }

    /// What is known is not to be had again.
    #[cfg(feature = "store")]
    pub(super) fn forget_known(&mut self) {
        if let Some(known) = &mut self.known {
            known.forget();
        }
    }

    /// How long the server is left alone yet.
    pub(super) fn cooling(&self, now: Instant) -> Option<Duration> {
        let left = self.pause.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Something has changed here: only a server that is down, or has asked for rest, is as it was.
    pub(super) fn forgive(&mut self) {
        let lasts = self.last_error().is_some_and(|error| error.is_transient());
        if !lasts {
            self.pause = None;
            self.failures = 0;
        }
    }

    pub(super) fn next_attempt(
        &self,
        current: Option<&AccessToken>,
        now: Instant,
    ) -> Option<Instant> {
        if self.flight.is_some() || self.closed {
            return None;
        }
        let wanted = match current {
            Some(token) => token.lifetime()?.soft,
            None => now,
        };
        let allowed = self.pause.as_ref().map_or(now, |pause| pause.until);
        Some(wanted.max(allowed).max(now))
    }
}
