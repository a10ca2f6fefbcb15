//! When to fetch again after a fetch that brought nothing: a pure function.

use std::time::Duration;

use tokio::time::Instant;

use super::lifetime::Lifetime;
use crate::error::TokenError;

const FIRST_CEILING: Duration = Duration::from_millis(500);
const HIGHEST_CEILING: Duration = Duration::from_secs(30);

/// The longest that a server's own wish is honoured: a slip of a digit there must not end renewing.
const LONGEST_WISH: Duration = Duration::from_secs(5 * 60);

/// How long an answer that will not change by itself is remembered, until one caller probes.
const PERMANENT: Duration = Duration::from_secs(5);

/// A token that is rejected before this age was hardly revoked on purpose;
const YOUNG: Duration = Duration::from_secs(1);

/// nor was one before this age, if the one before it was rejected as well.
const YOUNG_AMONG_RIVALS: Duration = Duration::from_secs(60);

/// Longer than what is sent with a token at once takes to arrive.
const HEAD_START: Duration = Duration::from_millis(250);

/// Eight head starts: room for as many rivals.
const MOST_DOUBLINGS: u32 = 3;

/// Full jitter (a random part of a doubling ceiling) after a transient failure, or what the server
/// asked for if that is longer. `failures` counts this one; `random` is from 0 up to 1.
pub(super) fn after_failure(error: &TokenError, failures: u32, random: f64) -> Duration {
    let wish = error.retry_after().unwrap_or_default().min(LONGEST_WISH);
    if !error.is_transient() {
        return PERMANENT.max(wish);
    }
    let doublings = failures.saturating_sub(1).min(16);
    let ceiling = FIRST_CEILING.saturating_mul(1 << doublings).min(HIGHEST_CEILING);
    ceiling.mul_f64(random.clamp(0.0, 1.0)).max(wish)
}

/// After the server gave the same token again: half of what is left to the hard edge, so that the
/// tries get no denser than the token gets short; within the hard window, a wait until the end.
pub(super) fn after_no_progress(lifetime: Option<&Lifetime>, now: Instant) -> Duration {
    let Some(lifetime) = lifetime else {
        return PERMANENT;
    };
    if now < lifetime.hard {
        let left = lifetime.hard - now;
        return (left / 2).max(left.min(Duration::from_secs(1)));
    }
    lifetime.deadline.saturating_duration_since(now)
}

/// How long a failing server is left alone at least where no caller asks: a secret that is no good any
/// more must not be tried for ever at the pace of callers.
pub(super) fn unasked(failures: u32, random: f64) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let ceiling = Duration::from_secs(1).saturating_mul(1 << failures.min(16)).min(LONGEST_WISH);
    ceiling.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// How long the renewal of a token that was rejected at `age` is held back. On a server that revokes
/// the previous token, one that dies young, all the more after others that did (`rivals`), died
/// because another process with the same client and scope has just got its own. To fetch at once would
/// revoke that in its turn, before what the rival sends with it has arrived: neither would ever get
/// through. The more renewals were lost to that already, the wider the spread.
pub(super) fn head_start(age: Duration, rivals: bool, lost: u32, random: f64) -> Option<Duration> {
    let spread = f64::from(1_u32 << lost.min(MOST_DOUBLINGS)) * random.clamp(0.0, 1.0);
    let young = if rivals { YOUNG_AMONG_RIVALS } else { YOUNG };
    (age < young).then(|| HEAD_START.mul_f64(1.0 + spread))
}

#[cfg(test)]
mod tests {
    use super::super::lifetime::Windows;
    use super::*;
    use crate::error::TokenErrorKind;

    fn transient() -> TokenError {
        TokenError::new(TokenErrorKind::TimedOut)
    }

    #[test]
    fn transient_failures_back_off_with_full_jitter_up_to_a_ceiling() {
        let ceiling = |failures| after_failure(&transient(), failures, 1.0);
        assert_eq!(ceiling(1), Duration::from_millis(500));
        assert_eq!(ceiling(2), Duration::from_secs(1));
        assert_eq!(ceiling(7), Duration::from_secs(30));
        assert_eq!(ceiling(u32::MAX), Duration::from_secs(30));
        assert_eq!(after_failure(&transient(), 3, 0.0), Duration::ZERO);
        assert_eq!(after_failure(&transient(), 3, 0.5), Duration::from_secs(1));
    }

    #[test]
    fn a_servers_wish_is_honoured_up_to_a_cap() {
        let wish = |seconds| {
            let error = transient().with_retry_after(Some(Duration::from_secs(seconds)));
            after_failure(&error, 1, 0.5)
        };
        assert_eq!(wish(60), Duration::from_secs(60));
        assert_eq!(wish(0), Duration::from_millis(250));
        assert_eq!(wish(86_400), LONGEST_WISH);
    }

    #[test]
    fn permanent_failures_are_remembered_for_a_few_seconds() {
        let error = TokenError::error_response("invalid_client");
        assert_eq!(after_failure(&error, 1, 0.0), PERMANENT);
        assert_eq!(after_failure(&error, 9, 1.0), PERMANENT);
    }

    #[test]
    fn unasked_a_failing_server_is_left_alone_longer_and_longer() {
        assert_eq!(unasked(0, 1.0), Duration::ZERO);
        assert_eq!(unasked(1, 0.0), Duration::from_secs(1));
        assert_eq!(unasked(1, 1.0), Duration::from_secs(2));
        assert_eq!(unasked(u32::MAX, 0.0), LONGEST_WISH / 2);
        assert_eq!(unasked(u32::MAX, 1.0), LONGEST_WISH);
    }

    #[test]
    fn a_token_that_dies_young_or_among_rivals_leaves_them_a_head_start() {
        let start = |age, rivals, lost, random| {
            let start = head_start(Duration::from_secs(age), rivals, lost, random);
            start.map(|start| start.as_millis())
        };
        assert_eq!(start(0, false, 0, 0.0), Some(250));
        assert_eq!(start(0, false, 0, 1.0), Some(500));
        assert_eq!(start(1, false, 0, 1.0), None);
        assert_eq!(start(59, true, 0, 1.0), Some(500));
        assert_eq!(start(60, true, 0, 1.0), None);
        assert_eq!(start(9, true, 2, 1.0), Some(1_250));
        assert_eq!(start(9, true, u32::MAX, 1.0), Some(2_250));
    }

    #[test]
    fn no_progress_comes_back_at_the_hard_edge_at_the_latest() {
        let now = Instant::now();
        let lifetime = Windows::default().of(now, Duration::from_secs(100), 0.0);
        let pause = |at| after_no_progress(Some(&lifetime), now + Duration::from_secs(at));
        assert_eq!(pause(50), Duration::from_secs(20));
        assert_eq!(pause(89), Duration::from_secs(1));
        assert_eq!(pause(95), Duration::from_secs(5));
        assert_eq!(pause(101), Duration::ZERO);
    }
}
