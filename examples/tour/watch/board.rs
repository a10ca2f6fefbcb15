//! What is shown of the tokens at one moment.

use std::time::Duration;

use tower_partner_auth::{FetchOutcome, TokenStatus};

#[derive(Default)]
pub(crate) struct Board {
    pub(crate) running: Duration,
    pub(crate) rows: Vec<Row>,
    /// What was done to the tokens, the latest last.
    pub(crate) news: Vec<String>,
}

/// One token.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) scope: String,
    pub(crate) state: String,
    pub(crate) fetching: bool,
    /// Since it was fetched, and until it ends.
    pub(crate) life: Option<(Duration, Duration)>,
    pub(crate) renewals: u64,
    pub(crate) used: Used,
}

/// What became of the calls with one token.
#[derive(Default, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) calls: u64,
    pub(crate) waited: u64,
    pub(crate) replayed: u64,
    pub(crate) failed: u64,
}

impl Row {
    pub(crate) fn new(token: &TokenStatus, used: Used) -> Self {
        let last = token.last_fetch();
        let fetched = last.filter(|last| matches!(last.outcome(), FetchOutcome::Fetched));
        Self {
            scope: token.scope().to_string(),
            state: token.state().to_string(),
            fetching: token.is_fetching(),
            life: fetched.and_then(|fetched| Some((fetched.age(), token.remaining()?))),
            renewals: token.generation().saturating_sub(1),
            used,
        }
    }

    /// How much of its life is left, from 0 to 1.
    pub(crate) fn share_left(&self) -> f64 {
        let Some((age, left)) = self.life else { return 0.0 };
        let whole = (age + left).as_secs_f64();
        if whole > 0.0 { left.as_secs_f64() / whole } else { 0.0 }
    }
}

impl Board {
    pub(crate) fn summary(&self) -> String {
        let sum = |of: fn(&Row) -> u64| self.rows.iter().map(of).sum::<u64>();
        format!(
            "{} calls under {} scopes in {:.0} s: {} waited, {} replayed, {} failed; {} renewals",
            sum(|row| row.used.calls),
            self.rows.len(),
            self.running.as_secs_f64(),
            sum(|row| row.used.waited),
            sum(|row| row.used.replayed),
            sum(|row| row.used.failed),
            sum(|row| row.renewals),
        )
    }
}
