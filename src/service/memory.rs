//! What a route remembers of rejections that no renewal could mend.
//!
//! A route that answers 401 for reasons of its own would cost a fetch for every call. It costs one
//! a token, and no more often than the memory lets it, which lasts the longer the oftener it was
//! needed. Only a token that the route has rejected is remembered, never one that is yet to come.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_secs(10);
/// A token that is really revoked meanwhile has to be renewed some time, also for this route.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The rejected tokens of one route, by the slot that they are of: a route has more than one where
/// requests choose scopes, and generations count for each slot alone.
#[derive(Debug, Default)]
pub(super) struct RejectionMemory {
    slots: Mutex<HashMap<u64, Rejections>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rejections {
    futile: Option<Futile>,
    /// The token for whose sake the route last had another fetched behind, and when.
    renewed: Option<(u64, Instant)>,
}

/// The newest token in vain.
#[derive(Debug, Clone, Copy)]
struct Futile {
    generation: u64,
    until: Instant,
    times: u32,
}

impl RejectionMemory {
    /// Whether a renewal for the token of `generation` was in vain a short while ago, and nothing
    /// newer has come: `newest` is the slot's current generation.
    pub(super) fn is_futile(&self, slot: u64, generation: u64, newest: u64) -> bool {
        let now = Instant::now();
        let futile = self.lock().get(&slot).and_then(|rejections| rejections.futile);
        futile
            .is_some_and(|futile| generation.max(newest) <= futile.generation && now < futile.until)
    }

    /// Remembers that the token of `generation` was rejected, and no other was better.
    pub(super) fn remember(&self, slot: u64, generation: u64) {
        let now = Instant::now();
        let mut slots = self.lock();
        slots.retain(|_, rejections| rejections.matter(now));
        slots.entry(slot).or_default().remember(generation, now);
    }

    /// Whether to have another token fetched behind, after the one of `generation` was rejected. Not
    /// if it is itself the fruit of such a fetch: the route has reasons of its own then.
    pub(super) fn should_renew_behind(&self, slot: u64, generation: u64) -> bool {
        let now = Instant::now();
        let mut slots = self.lock();
        slots.retain(|_, rejections| rejections.matter(now));
        let rejections = slots.entry(slot).or_default();
        match rejections.renewed {
            Some((renewed, at)) if renewed < generation && now < at + SHORTEST => {
                rejections.remember(generation, now);
                false
            }
            _ => {
                rejections.renewed = Some((generation, now));
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Rejections>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rejections {
    fn remember(&mut self, generation: u64, now: Instant) {
        let times = match self.futile {
            // Calls that ran side by side tell the same once.
            Some(known) if generation <= known.generation && now < known.until => return,
            Some(known) if known.is_recent(now) => known.times.saturating_add(1),
            _ => 0,
        };
        self.futile = Some(Futile { generation, until: now + duration(times), times });
    }

    fn matter(&self, now: Instant) -> bool {
        self.futile.is_some_and(|futile| futile.is_recent(now))
            || self.renewed.is_some_and(|(_, at)| now < at + SHORTEST)
    }
}

impl Futile {
    /// As long again without a rejection, and the memory begins anew.
    fn is_recent(&self, now: Instant) -> bool {
        now < self.until + duration(self.times)
    }
}

fn duration(times: u32) -> Duration {
    SHORTEST.saturating_mul(1 << times.min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: u64 = 7;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_in_vain_is_remembered_for_a_while_and_newer_ones_are_not() {
        let memory = RejectionMemory::default();
        assert!(!memory.is_futile(SLOT, 1, 1));
        memory.remember(SLOT, 2);
        assert!(memory.is_futile(SLOT, 1, 2), "replayed with 2, it would be rejected again");
        assert!(memory.is_futile(SLOT, 2, 2));
        assert!(!memory.is_futile(SLOT, 2, 3), "a newer one is there");
        assert!(!memory.is_futile(SLOT, 3, 3));
        assert!(!memory.is_futile(8, 1, 1), "another slot's tokens are others");
        pass(9).await;
        assert!(memory.is_futile(SLOT, 2, 2));
        pass(1).await;
        assert!(!memory.is_futile(SLOT, 2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_grows_while_rejections_go_on_and_is_bounded() {
        let memory = RejectionMemory::default();
        for generation in 1..20 {
            memory.remember(SLOT, generation);
            while memory.is_futile(SLOT, generation, generation) {
                pass(10).await;
            }
        }
        memory.remember(SLOT, 20);
        pass(LONGEST.as_secs() - 1).await;
        assert!(memory.is_futile(SLOT, 20, 20));
        pass(1).await;
        assert!(!memory.is_futile(SLOT, 20, 20));
        pass(LONGEST.as_secs()).await;
        memory.remember(SLOT, 21);
        pass(10).await;
        assert!(!memory.is_futile(SLOT, 21, 21), "after a long peace it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_side_by_side_count_once() {
        let memory = RejectionMemory::default();
        for _ in 0..50 {
            memory.remember(SLOT, 1);
        }
        pass(10).await;
        assert!(!memory.is_futile(SLOT, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_behind_is_tried_until_its_own_token_is_rejected() {
        let memory = RejectionMemory::default();
        assert!(memory.should_renew_behind(SLOT, 1));
        assert!(memory.should_renew_behind(SLOT, 1), "the first one may have failed");
        assert!(!memory.is_futile(SLOT, 1, 1), "nothing is known of the next token");
        assert!(!memory.should_renew_behind(SLOT, 2));
        assert!(memory.is_futile(SLOT, 2, 2));
        pass(10).await;
        assert!(memory.should_renew_behind(SLOT, 2));
    }
}
