//! What a route remembers of rejections that no renewal could mend.
//!
//! A route that answers 401 for reasons of its own would cost a fetch for every call. It costs one
//! a token, and no more often than the memory lets it, which lasts the longer the oftener it was
//! needed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The newest token in vain on one route.
#[derive(Debug, Default)]
pub(super) struct RejectionMemory {
    futile: Mutex<Option<Futile>>,
}

#[derive(Debug, Clone, Copy)]
struct Futile {
    generation: u64,
    until: Instant,
    times: u32,
}

impl RejectionMemory {
    /// Whether a renewal for the token of `generation`, or a replay with one not newer than the one
    /// remembered, was in vain a short while ago.
    pub(super) fn is_futile(&self, generation: u64) -> bool {
        let now = Instant::now();
        self.lock().is_some_and(|futile| generation <= futile.generation && now < futile.until)
    }

    /// Remembers that the token of `generation` was rejected, and no other was better.
    pub(super) fn remember(&self, generation: u64) {
        let now = Instant::now();
        let mut futile = self.lock();
        let times = match *futile {
            // Calls that ran side by side tell the same once.
            Some(known) if generation <= known.generation && now < known.until => return,
            // As long again without a rejection, and it begins anew.
            Some(known) if now < known.until + duration(known.times) => {
                known.times.saturating_add(1)
            }
            _ => 0,
        };
        *futile = Some(Futile { generation, until: now + duration(times), times });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Futile>> {
        self.futile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn duration(times: u32) -> Duration {
    SHORTEST.saturating_mul(1 << times.min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_in_vain_is_remembered_for_a_while_and_newer_ones_are_not() {
        let memory = RejectionMemory::default();
        assert!(!memory.is_futile(1));
        memory.remember(2);
        assert!(memory.is_futile(1), "replayed with 2, it would be rejected again");
        assert!(memory.is_futile(2));
        assert!(!memory.is_futile(3));
        pass(59).await;
        assert!(memory.is_futile(2));
        pass(1).await;
        assert!(!memory.is_futile(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_grows_while_rejections_go_on_and_is_bounded() {
        let memory = RejectionMemory::default();
        for generation in 1..20 {
            memory.remember(generation);
            while memory.is_futile(generation) {
                pass(10).await;
            }
        }
        memory.remember(20);
        pass(LONGEST.as_secs() - 1).await;
        assert!(memory.is_futile(20));
        pass(1).await;
        assert!(!memory.is_futile(20));
        pass(LONGEST.as_secs()).await;
        memory.remember(21);
        pass(60).await;
        assert!(!memory.is_futile(21), "after a long peace it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_side_by_side_count_once() {
        let memory = RejectionMemory::default();
        for _ in 0..50 {
            memory.remember(1);
        }
        pass(60).await;
        assert!(!memory.is_futile(1));
    }
}
