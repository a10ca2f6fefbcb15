//! What an operator can see of a token.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::lifetime::Phase;
use crate::error::TokenError;
use crate::scope::Scope;

/// What is known of one token: see [`PartnerAuthLayer::status`](crate::PartnerAuthLayer::status).
///
/// Serialised, it is a flat object; durations are seconds, and their names say so.
#[derive(Debug, Clone, Serialize)]
pub struct TokenStatus {
    pub(super) scope: Scope,
    pub(super) state: TokenState,
    #[serde(rename = "remaining_seconds", serialize_with = "optional_seconds")]
    pub(super) remaining: Option<Duration>,
    pub(super) generation: u64,
    pub(super) fetching: bool,
    pub(super) waiting: usize,
    pub(super) last_fetch: Option<LastFetch>,
    pub(super) failures: u32,
    pub(super) evictions: u32,
    #[serde(rename = "next_attempt_seconds", serialize_with = "optional_seconds")]
    pub(super) next_attempt: Option<Duration>,
    #[serde(rename = "cooling_seconds", serialize_with = "optional_seconds")]
    pub(super) cooling: Option<Duration>,
}

/// Where in its life a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenState {
    /// There is none: not asked for yet, or [invalidated](crate::PartnerAuthLayer::invalidate).
    Absent,
    /// Used as it is.
    Fresh,
    /// Used, while the next call starts a renewal behind.
    Soft,
    /// About to expire: calls wait for the renewal, but use it if that fails.
    Hard,
    /// Not used any more.
    Expired,
}

/// A fetch that has ended.
#[derive(Debug, Clone, Serialize)]
pub struct LastFetch {
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub(super) age: Duration,
    #[serde(flatten)]
    pub(super) outcome: FetchOutcome,
}

/// How a fetch ended.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", content = "error", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FetchOutcome {
    /// With a new token.
    Fetched,
    /// With a new token that another process had fetched.
    Shared,
    /// With the token that was there already: the server reuses tokens.
    SameToken,
    /// With an error.
    Failed(TokenError),
}

impl TokenStatus {
    /// Whose token it is.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Where in its life the token is.
    pub fn state(&self) -> TokenState {
        self.state
    }

    /// Whether a call would be sent with the token that is there.
    pub fn is_usable(&self) -> bool {
        matches!(self.state, TokenState::Fresh | TokenState::Soft | TokenState::Hard)
    }

    /// How long the token lives yet. `None`: until it is rejected, or there is none.
    pub fn remaining(&self) -> Option<Duration> {
        self.remaining
    }

    /// How many tokens there have been. It never goes back, and a server that gives the same token
    /// again does not raise it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a fetch is under way.
    pub fn is_fetching(&self) -> bool {
        self.fetching
    }

    /// How many calls wait for that fetch.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How the last fetch ended, and how long ago. `None` before the first.
    pub fn last_fetch(&self) -> Option<&LastFetch> {
        self.last_fetch.as_ref()
    }

    /// How many fetches have failed since the last good one.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How many tokens in a row the API rejected before their time, each time accepting the next.
    /// One is a revocation. Where it keeps growing, the server revokes the previous token at each
    /// issue, and another process asks for the same client and scope: give each process a client of
    /// its own.
    pub fn evictions(&self) -> u32 {
        self.evictions
    }

    /// How soon a call would start a fetch. `None` while one is under way, and for a token that is
    /// good until it is rejected.
    pub fn next_attempt(&self) -> Option<Duration> {
        self.next_attempt
    }

    /// How long the token server is left alone yet, whoever calls: after a
    /// [failure](Self::failures), or because it gave the same token again. `None` if it is not.
    pub fn cooling(&self) -> Option<Duration> {
        self.cooling
    }
}

impl LastFetch {
    /// How long ago it ended.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How it ended.
    pub fn outcome(&self) -> &FetchOutcome {
        &self.outcome
    }
}

impl TokenState {
    pub(super) fn of(phase: Option<Phase>) -> Self {
        match phase {
            None => Self::Absent,
            Some(Phase::Fresh) => Self::Fresh,
            Some(Phase::Soft) => Self::Soft,
            Some(Phase::Hard) => Self::Hard,
            Some(Phase::Expired) => Self::Expired,
        }
    }
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Fresh => "fresh",
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Expired => "expired",
        })
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn optional_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}
