//! How long one caller waits for tokens, all its waits together.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of a caller's wait limit. It runs from the first wait on: a request may wait once for
/// its first token and once more after a rejection, but no longer than the limit in all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    until: Option<Instant>,
}

impl Patience {
    pub(super) fn left(&mut self, limit: Duration, now: Instant) -> Duration {
        match self.until {
            Some(until) => until.saturating_duration_since(now),
            None => {
                // Beyond what the clock can say is forever.
                self.until = now.checked_add(limit);
                limit
            }
        }
    }
}
