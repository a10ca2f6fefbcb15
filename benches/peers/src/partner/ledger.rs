//! The tokens that were issued, and what the API says of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    deadlines: Mutex<HashMap<Box<str>, Instant>>,
    spread: Mutex<Option<Spread>>,
}

/// How the API's answers are spread over time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// How long the first of each `of` calls waits for its answer, and how much longer each next.
    first: Duration,
    step: Duration,
    of: u32,
    calls: u32,
}

impl Spread {
    pub(crate) fn new(first: Duration, step: Duration, of: u32) -> Self {
        Self { first, step, of, calls: 0 }
    }
}

impl Ledger {
    /// A new token, of 64 hex digits.
    pub(super) fn issue(&self, life: Duration) -> Box<str> {
        // Every `RandomState` has keys of its own: unique is all that a token here has to be.
        let word = |_| format!("{:016x}", RandomState::new().hash_one(0));
        let token: Box<str> = (0..4).map(word).collect::<String>().into();
        self.deadlines().insert(token.clone(), Instant::now() + life);
        token
    }

    pub(super) fn revoke_all(&self) {
        self.deadlines().clear();
    }

    /// Whether an `Authorization` header carries a token that lives.
    pub(super) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let token = authorization
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let Some(token) = token else { return false };
        self.deadlines().get(token).is_some_and(|deadline| Instant::now() < *deadline)
    }

    pub(super) fn spread_answers(&self, spread: Option<Spread>) {
        *self.spread() = spread;
    }

    /// How long the next answer of the API takes.
    pub(super) fn delay(&self) -> Duration {
        let mut spread = self.spread();
        let Some(spread) = &mut *spread else { return Duration::ZERO };
        let delay = spread.first + spread.step * (spread.calls % spread.of);
        spread.calls += 1;
        delay
    }

    fn spread(&self) -> MutexGuard<'_, Option<Spread>> {
        self.spread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Both are whole between two calls.
    fn deadlines(&self) -> MutexGuard<'_, HashMap<Box<str>, Instant>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
