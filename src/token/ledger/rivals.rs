//! Rivals: other processes with the same client and scope, on a server that revokes the previous
//! token at each issue. They are never seen, only what they do to a token.

use tokio::time::Instant;

use crate::token::backoff;
use crate::token::flight::Cause;

/// What has become of the tokens by now that were fetched because of a rejection.
#[derive(Default)]
pub(super) struct Rivals {
    /// When the newest token came; `None` if it is a server's that gives a token again, and so does
    /// not revoke one for giving another.
    fetched: Option<Instant>,
    /// Tokens in a row that were revoked before their time.
    evictions: u32,
    /// The generation that may prove that the one before it was revoked; 0 if there is none.
    suspect: u64,
    /// Tokens in a row that proved nothing: they were rejected in their turn, or never used.
    unproven: u32,
    /// The newest token is one that another process fetched, who knows when.
    shared: bool,
}

impl Rivals {
    pub(super) fn new_token(&mut self, generation: u64, cause: Cause, now: Instant) {
        match cause {
            // The one before it came to its time: nobody else is at work.
            Cause::Demand => *self = Self::default(),
            Cause::Rejection => {
                if self.suspect != 0 {
                    self.unproven = self.unproven.saturating_add(1);
                }
                self.suspect = generation;
            }
        }
        self.fetched = Some(now);
        self.shared = false;
    }

    /// The newest token is one that all processes share: whoever fetched it is no rival.
    pub(super) fn shared_token(&mut self) {
        *self = Self { shared: true, ..Self::default() };
    }

    pub(super) fn same_token(&mut self) {
        self.fetched = None;
    }

    /// The API accepted the token of `generation` after it had rejected an older one. Gives how many
    /// tokens in a row were revoked by then, if this is news.
    pub(super) fn confirm(&mut self, generation: u64) -> Option<u32> {
        if self.suspect != generation {
            return None;
        }
        self.evictions = self.evictions.saturating_add(1);
        (self.suspect, self.unproven) = (0, 0);
        Some(self.evictions)
    }

    pub(super) fn evictions(&self) -> u32 {
        self.evictions
    }

    /// Whether a fresh token that is rejected was most likely revoked by one. Two in a row are not:
    /// then it is the route that rejects them. A shared one may have been revoked before it was taken.
    pub(super) fn are_likely(&self) -> bool {
        self.shared || (self.evictions > 0 && self.unproven < 2)
    }

    /// Until when a renewal because of a rejection is held back for their sake.
    pub(super) fn head_start(&self, now: Instant, random: f64) -> Option<Instant> {
        let age = now.saturating_duration_since(self.fetched?);
        let seen = self.evictions > 0 || self.unproven > 0;
        Some(now + backoff::head_start(age, seen, self.unproven, random)?)
    }
}
