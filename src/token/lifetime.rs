//! The life of a token, and what a caller does at each moment of it: pure functions, tested without
//! a clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::grant::SHORTEST_LIFE;

/// The longest life that is told apart from this one. It keeps sums of instants from overflowing.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long before its end a token is renewed at the earliest: the windows of its life are parts of
/// it, and no longer than these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) soft: Duration,
    pub(crate) hard: Duration,
}

/// The three edges of a token's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// From here on somebody should renew it; nobody waits.
    pub(crate) soft: Instant,
    /// From here on callers wait for the renewal, as it is about to expire.
    pub(crate) hard: Instant,
    /// From here on it is not sent any more.
    pub(crate) deadline: Instant,
}

/// Where in its life a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Fresh,
    Soft,
    Hard,
    Expired,
}

/// What the slot knows of fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetching {
    Idle,
    Underway,
    /// The last fetch brought nothing: leave the server alone for a while.
    Paused,
}

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send the token.
    Use,
    /// Send the token, and start a fetch behind.
    UseAndFetch,
    /// Wait for the fetch that is under way.
    Join,
    /// Start a fetch and wait for it.
    Fetch,
    /// Fail with what the last fetch failed with.
    Fail,
}

/// How long a token is used: as long as it lives, and no longer than its maximum age. `None`: until
/// it is rejected.
pub(crate) fn life(expires_in: Option<Duration>, max_age: Option<Duration>) -> Option<Duration> {
    [expires_in.map(|life| life.max(SHORTEST_LIFE)), max_age].into_iter().flatten().min()
}

impl Default for Windows {
    fn default() -> Self {
        Self { soft: Duration::from_secs(60 * 60), hard: Duration::from_secs(30) }
    }
}

impl Windows {
    /// The edges of a token that lives `life` from `requested` on, the instant before its request
    /// was sent. `jitter`, from 0 up to 1, moves the soft edge later by up to a quarter of its
    /// window, so that the processes of a fleet do not renew as one.
    pub(crate) fn of(self, requested: Instant, life: Duration, jitter: f64) -> Lifetime {
        let life = life.min(LONGEST_LIFE);
        let soft = (life / 2).min(self.soft).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0);
        // Half of the soft one at most: the edges stay in order, however the two are configured.
        let hard = (life / 10).min(self.hard).min(soft / 2);
        let deadline = requested + life;
        Lifetime { soft: deadline - soft, hard: deadline - hard, deadline }
    }
}

impl Lifetime {
    pub(crate) fn phase(&self, now: Instant) -> Phase {
        if now < self.soft {
            Phase::Fresh
        } else if now < self.hard {
            Phase::Soft
        } else if now < self.deadline {
            Phase::Hard
        } else {
            Phase::Expired
        }
    }
}

/// What a caller does that finds a token in `phase`, or none.
pub(crate) fn classify(phase: Option<Phase>, fetching: Fetching) -> Decision {
    match (phase, fetching) {
        (Some(Phase::Fresh), _) => Decision::Use,
        (Some(Phase::Soft), Fetching::Idle) => Decision::UseAndFetch,
        (Some(Phase::Soft), Fetching::Underway | Fetching::Paused) => Decision::Use,
        // The server is to be left alone, and there is a token yet.
        (Some(Phase::Hard), Fetching::Paused) => Decision::Use,
        (_, Fetching::Underway) => Decision::Join,
        (_, Fetching::Idle) => Decision::Fetch,
        (Some(Phase::Expired) | None, Fetching::Paused) => Decision::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn edges_scale_with_the_life_up_to_their_caps() {
        let start = Instant::now();
        for (life, soft, hard) in [
            (1, 500, 100),
            (2, 1_000, 200),
            (7_200, 3_600_000, 30_000),
            (1_800, 900_000, 30_000),
            (100, 50_000, 10_000),
            (2_592_000, 3_600_000, 30_000),
        ] {
            let edges = Windows::default().of(start, Duration::from_secs(life), 0.0);
            assert_eq!(edges.deadline - start, Duration::from_secs(life));
            assert_eq!(edges.deadline - edges.soft, Duration::from_millis(soft), "{life}");
            assert_eq!(edges.deadline - edges.hard, Duration::from_millis(hard), "{life}");
        }
    }

    #[test]
    fn windows_are_shorter_than_the_life_and_in_order_for_every_life_and_jitter() {
        let start = Instant::now();
        let lives = (1..200).map(|n| Duration::from_millis(n * n * 50));
        for life in lives.chain([Duration::from_millis(1), Duration::MAX]) {
            for jitter in [0.0, 0.3, 0.999, 7.0, -1.0, f64::NAN] {
                let jitter = if jitter.is_nan() { 0.5 } else { jitter };
                let edges = Windows::default().of(start, life, jitter);
                assert!(start < edges.soft, "{life:?} {jitter}");
                assert!(edges.soft < edges.hard, "{life:?} {jitter}");
                assert!(edges.hard < edges.deadline, "{life:?} {jitter}");
            }
        }
    }

    #[test]
    fn configured_windows_are_kept_to_where_the_life_is_long_enough() {
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        let windows = Windows { soft: 24 * hour, hard: hour };
        let month = windows.of(start, 720 * hour, 0.0);
        assert_eq!((month.deadline - month.soft, month.deadline - month.hard), (24 * hour, hour));
        let short = windows.of(start, 2 * hour, 0.0);
        assert_eq!((short.deadline - short.soft, short.deadline - short.hard), (hour, hour / 5));
        // A soft window below the hard one's default.
        let narrow = Windows { soft: MILLISECOND * 10, ..Windows::default() };
        let edges = narrow.of(start, hour, 1.0);
        assert!(edges.soft < edges.hard && edges.hard < edges.deadline, "{edges:?}");
    }

    #[test]
    fn a_life_of_nothing_is_a_second_and_a_maximum_age_is_kept_to() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(life(None, None), None);
        assert_eq!(life(seconds(0), None), seconds(1));
        assert_eq!(life(seconds(7200), seconds(60)), seconds(60));
        assert_eq!(life(None, seconds(60)), seconds(60));
        assert_eq!(life(seconds(0), Some(MILLISECOND)), Some(MILLISECOND));
    }

    #[test]
    fn jitter_only_makes_the_soft_window_shorter() {
        let start = Instant::now();
        let life = Duration::from_secs(7200);
        let least = Windows::default().of(start, life, 0.0);
        let most = Windows::default().of(start, life, 1.0);
        assert_eq!(least.deadline - least.soft, Duration::from_secs(3600));
        assert_eq!(most.deadline - most.soft, Duration::from_secs(2700));
    }

    #[test]
    fn each_edge_belongs_to_the_later_phase() {
        let edges = Windows::default().of(Instant::now(), Duration::from_secs(100), 0.5);
        for (edge, before, after) in [
            (edges.soft, Phase::Fresh, Phase::Soft),
            (edges.hard, Phase::Soft, Phase::Hard),
            (edges.deadline, Phase::Hard, Phase::Expired),
        ] {
            assert_eq!(edges.phase(edge - MILLISECOND), before);
            assert_eq!(edges.phase(edge), after);
        }
    }

    #[test]
    fn decisions() {
        use Decision::*;
        for (phase, idle, underway, paused) in [
            (Some(Phase::Fresh), Use, Use, Use),
            (Some(Phase::Soft), UseAndFetch, Use, Use),
            (Some(Phase::Hard), Fetch, Join, Use),
            (Some(Phase::Expired), Fetch, Join, Fail),
            (None, Fetch, Join, Fail),
        ] {
            assert_eq!(classify(phase, Fetching::Idle), idle, "{phase:?}");
            assert_eq!(classify(phase, Fetching::Underway), underway, "{phase:?}");
            assert_eq!(classify(phase, Fetching::Paused), paused, "{phase:?}");
        }
    }
}
