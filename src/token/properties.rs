//! Properties of the pure rules over times, lives and edges, with the cases drawn to lie on the
//! edges and one nanosecond beside them.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::access_token::AccessToken;
use super::backoff::{after_failure, after_no_progress, head_start};
use super::lifetime::{Decision, Fetching, Lifetime, Phase, Windows, classify, life};
use super::patience::Patience;
use crate::error::{TokenError, TokenErrorKind};

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// What a clock can add to any instant of a test without overflowing.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A shorter one has no room for a window.
const SHORTEST_WITH_WINDOWS: Duration = Duration::from_nanos(10);

const PHASES: [Option<Phase>; 5] =
    [None, Some(Phase::Fresh), Some(Phase::Soft), Some(Phase::Hard), Some(Phase::Expired)];

/// `at`, and a nanosecond to both sides.
fn around(at: Duration) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(at - NANOSECOND), Just(at), Just(at + NANOSECOND)]
}

fn up_to(longest: Duration) -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..2_000_u64).prop_map(Duration::from_nanos),
        (0..10_000_u64).prop_map(Duration::from_millis),
        (0..=longest.as_secs()).prop_map(Duration::from_secs),
        (0..=longest.as_nanos() as u64).prop_map(Duration::from_nanos),
    ]
}

fn lives() -> impl Strategy<Value = Duration> {
    prop_oneof![
        up_to(YEAR).prop_map(|life| life.max(NANOSECOND)),
        around(SECOND),
        around(300 * SECOND),
        around(2 * HOUR),
        around(10 * YEAR),
        Just(Duration::MAX),
    ]
}

fn jitters() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..1.0, Just(1.0 - f64::EPSILON)]
}

/// Later than any token of the test is made, so that none was requested before the clock began.
fn instants() -> impl Strategy<Value = Instant> {
    up_to(YEAR).prop_map(|since| Instant::now() + HOUR + since)
}

fn lifetimes() -> impl Strategy<Value = Lifetime> {
    (instants(), lives(), jitters())
        .prop_map(|(requested, life, jitter)| Windows::default().of(requested, life, jitter))
}

/// A life with all its windows, and a moment of it: on an edge, beside one, or anywhere.
fn moments() -> impl Strategy<Value = (Lifetime, Instant)> {
    let long = (instants(), lives(), jitters()).prop_map(|(requested, life, jitter)| {
        Windows::default().of(requested, life.max(SHORTEST_WITH_WINDOWS), jitter)
    });
    long.prop_flat_map(|edges| {
        let at = prop_oneof![
            prop::sample::select(vec![edges.soft, edges.hard, edges.deadline]),
            up_to(2 * HOUR).prop_map(move |before| edges.deadline - before),
            up_to(YEAR).prop_map(move |after| edges.deadline + after),
        ];
        let beside = at.prop_flat_map(|at| {
            prop_oneof![Just(at - NANOSECOND), Just(at), Just(at + NANOSECOND)]
        });
        (Just(edges), beside)
    })
}

fn errors() -> impl Strategy<Value = TokenError> {
    let kinds = prop_oneof![
        Just(TokenError::new(TokenErrorKind::TimedOut)),
        Just(TokenError::new(TokenErrorKind::Transport)),
        Just(TokenError::error_response("rate_limit_exceeded")),
        Just(TokenError::error_response("invalid_client")),
        Just(TokenError::new(TokenErrorKind::NarrowScope)),
    ];
    let wishes =
        prop_oneof![up_to(HOUR), around(5 * SECOND), around(5 * MINUTE), Just(Duration::MAX)];
    (kinds, prop::option::of(wishes)).prop_map(|(error, wish)| error.with_retry_after(wish))
}

/// How far into its life a token is, as a number that can be compared.
fn rank(phase: Phase) -> usize {
    PHASES.iter().position(|other| *other == Some(phase)).expect("a phase is one of them")
}

fn token(lifetime: Option<Lifetime>) -> AccessToken {
    AccessToken::new("token", &["Bearer".to_owned()], 1, lifetime)
}

// === Lifetime ===

proptest! {
    #[test]
    fn the_edges_of_every_life_are_in_order(requested in instants(), life in lives(), jitter in jitters()) {
        let Lifetime { soft, hard, deadline } = Windows::default().of(requested, life, jitter);
        prop_assert!(requested < deadline);
        prop_assert!(requested <= soft && soft <= hard && hard <= deadline);
        if life >= SHORTEST_WITH_WINDOWS {
            prop_assert!(requested < soft && soft < hard && hard < deadline);
        }
    }

    #[test]
    fn the_deadline_is_the_request_and_the_life_to_the_nanosecond(
        requested in instants(), life in lives(), jitter in jitters(),
    ) {
        let edges = Windows::default().of(requested, life, jitter);
        prop_assert_eq!(edges.deadline - requested, life.min(10 * YEAR));
    }

    #[test]
    fn the_windows_are_shares_of_the_life_up_to_their_caps(
        requested in instants(), life in lives(), jitter in jitters(),
    ) {
        let edges = Windows::default().of(requested, life, jitter);
        prop_assert_eq!(edges.deadline - edges.hard, (life / 10).min(30 * SECOND));
        let soft = edges.deadline - edges.soft;
        let widest = (life / 2).min(HOUR);
        prop_assert!(soft <= widest);
        // Three quarters of it are left by any jitter; what is rounded is less than a nanosecond.
        prop_assert!(soft + NANOSECOND > widest / 4 * 3, "{:?} of {:?}", soft, widest);
    }

    #[test]
    fn jitter_moves_the_soft_edge_later_and_no_other(
        requested in instants(), life in lives(), one in jitters(), other in jitters(),
    ) {
        let less = Windows::default().of(requested, life, one.min(other));
        let more = Windows::default().of(requested, life, one.max(other));
        prop_assert!(less.soft <= more.soft);
        prop_assert_eq!((less.hard, less.deadline), (more.hard, more.deadline));
        let none = Windows::default().of(requested, life, 0.0);
        prop_assert_eq!(none.deadline - none.soft, (life / 2).min(HOUR));
    }

    #[test]
    fn a_phase_begins_on_its_edge((edges, now) in moments()) {
        let passed = [edges.soft, edges.hard, edges.deadline].iter().filter(|edge| **edge <= now).count();
        prop_assert_eq!(rank(edges.phase(now)), rank(Phase::Fresh) + passed);
        prop_assert_eq!(token(Some(edges)).is_live(now), now < edges.deadline);
    }

    #[test]
    fn phases_never_go_back((edges, now) in moments(), later in up_to(YEAR)) {
        prop_assert!(rank(edges.phase(now)) <= rank(edges.phase(now + later)));
    }

    #[test]
    fn a_life_is_the_shorter_of_the_servers_and_the_maximum_age(
        expires_in in prop::option::of(prop_oneof![Just(Duration::ZERO), lives()]),
        max_age in prop::option::of(lives()),
    ) {
        let life = life(expires_in, max_age);
        match (expires_in, max_age) {
            (None, None) => prop_assert_eq!(life, None),
            (None, Some(age)) => prop_assert_eq!(life, Some(age)),
            // What the server rounded down to nothing has up to a second.
            (Some(told), None) => prop_assert_eq!(life, Some(if told < SECOND { SECOND } else { told })),
            (Some(told), Some(age)) => {
                let life = life.expect("there are two");
                prop_assert!(life <= age && life <= told.max(SECOND));
                prop_assert!(life == age || life == told.max(SECOND));
            }
        }
    }
}

// === classify ===

#[test]
fn in_every_state_there_is_a_next_step_and_none_breaks_a_law() {
    for phase in PHASES {
        let live = phase.is_some_and(|phase| phase != Phase::Expired);
        for fetching in [Fetching::Idle, Fetching::Underway, Fetching::Paused] {
            let decision = classify(phase, fetching);
            let state = format!("{phase:?}, {fetching:?}: {decision:?}");
            let uses = matches!(decision, Decision::Use | Decision::UseAndFetch);
            let fetches = matches!(decision, Decision::Fetch | Decision::UseAndFetch);
            assert!(live || !uses, "an expired token is never sent: {state}");
            assert!(
                !fetches || fetching == Fetching::Idle,
                "one flight, and none in a pause: {state}"
            );
            assert_eq!(
                decision == Decision::Join,
                fetching == Fetching::Underway && !uses,
                "{state}"
            );
            assert!(
                !live || decision != Decision::Fail,
                "a live token is better than an error: {state}"
            );
            assert!(fetching == Fetching::Paused || decision != Decision::Fail, "{state}");
            if matches!(phase, Some(Phase::Fresh | Phase::Soft)) {
                assert!(uses, "nobody waits before the hard edge: {state}");
            }
            if phase == Some(Phase::Hard) && fetching != Fetching::Paused {
                assert!(!uses, "from the hard edge on, callers wait for the renewal: {state}");
            }
            if phase != Some(Phase::Fresh) && fetching == Fetching::Idle {
                assert!(fetches, "somebody renews: {state}");
            }
        }
    }
}

// === backoff ===

proptest! {
    #[test]
    fn a_transient_failure_backs_off_up_to_its_ceiling_and_as_long_as_asked(
        failures in prop_oneof![0..20_u32, Just(u32::MAX)], random in jitters(), wish in prop::option::of(up_to(HOUR)),
    ) {
        let error = TokenError::new(TokenErrorKind::TimedOut).with_retry_after(wish);
        let wish = wish.unwrap_or_default().min(5 * MINUTE);
        let pause = after_failure(&error, failures, random);
        prop_assert!(pause >= wish);
        prop_assert!(pause <= wish.max(30 * SECOND));
        // Doubling from half a second on, as a power of two that cannot overflow.
        let ceiling = 0.5 * 2_f64.powi(failures.clamp(1, 7) as i32 - 1);
        let jittered = Duration::from_secs_f64(ceiling.min(30.0) * random);
        prop_assert!(pause.abs_diff(jittered.max(wish)) <= NANOSECOND, "{:?}", pause);
    }

    #[test]
    fn the_ceiling_never_goes_down(error in errors(), failures in 0..100_u32) {
        prop_assert!(after_failure(&error, failures, 1.0) <= after_failure(&error, failures + 1, 1.0));
    }

    #[test]
    fn no_pause_is_longer_than_five_minutes_and_none_of_a_refusal_shorter_than_five_seconds(
        error in errors(), failures in any::<u32>(), random in -1.0..2.0,
    ) {
        let pause = after_failure(&error, failures, random);
        prop_assert!(pause <= 5 * MINUTE);
        prop_assert!(error.is_transient() || pause >= 5 * SECOND);
    }

    #[test]
    fn no_progress_is_looked_at_again_by_the_next_edge((edges, now) in moments()) {
        let pause = after_no_progress(Some(&edges), now);
        if now < edges.hard {
            prop_assert!(pause > Duration::ZERO, "not at once");
            prop_assert!(now + pause <= edges.hard);
        } else if now < edges.deadline {
            prop_assert_eq!(now + pause, edges.deadline);
        } else {
            prop_assert_eq!(pause, Duration::ZERO);
        }
    }

    #[test]
    fn a_server_that_never_makes_progress_is_asked_a_few_times_a_life(edges in lifetimes()) {
        let mut now = edges.soft;
        let mut requests = 0;
        while now < edges.deadline {
            now += after_no_progress(Some(&edges), now);
            requests += 1;
            prop_assert!(requests <= 14, "halves of an hour down to a second, and the two edges");
        }
    }

    #[test]
    fn a_token_without_an_end_that_makes_no_progress_has_a_pause_too(now in instants()) {
        prop_assert!(after_no_progress(None, now) >= 5 * SECOND);
    }
}

proptest! {
    #[test]
    fn a_rival_has_a_head_start_only_where_a_token_died_young(
        age in prop_oneof![up_to(2 * MINUTE), around(SECOND), around(MINUTE)],
        rivals in any::<bool>(), lost in any::<u32>(), random in jitters(),
    ) {
        let young = if rivals { MINUTE } else { SECOND };
        prop_assert_eq!(head_start(age, rivals, lost, random).is_some(), age < young);
    }

    #[test]
    fn a_head_start_is_at_least_a_quarter_of_a_second_and_its_spread_at_most_two(
        rivals in any::<bool>(), lost in prop_oneof![0..6_u32, Just(u32::MAX)], random in -1.0..2.0,
    ) {
        let start = head_start(Duration::ZERO, rivals, lost, random).expect("it died at once");
        let least = SECOND / 4;
        prop_assert!(start >= least);
        prop_assert!(start - least <= least * (1 << lost.min(3)), "the more were lost, the wider");
        let more = head_start(Duration::ZERO, rivals, lost.saturating_add(1), random);
        prop_assert!(Some(start) <= more);
    }
}

// === AccessToken ===

proptest! {
    #[test]
    fn a_new_token_wants_attention_from_its_soft_edge_on((edges, now) in moments()) {
        prop_assert_eq!(token(Some(edges)).needs_attention(now), now >= edges.soft);
        prop_assert!(!token(None).needs_attention(now), "it is good until it is rejected");
    }

    #[test]
    fn the_next_look_is_put_off_between_the_soft_and_the_hard_edge(
        (edges, now) in moments(), looks in prop::collection::vec(instants(), 1..4), past in up_to(HOUR),
    ) {
        let token = token(Some(edges));
        for then in looks.into_iter().chain([edges.hard - past]) {
            token.look_again_at(then);
            let look = then.clamp(edges.soft, edges.hard);
            prop_assert_eq!(token.needs_attention(now), now >= look);
            prop_assert!(!token.needs_attention(look - NANOSECOND));
            prop_assert!(token.needs_attention(look));
            prop_assert!(token.needs_attention(edges.hard), "callers wait from there on");
        }
    }
}

// === Patience ===

proptest! {
    #[test]
    fn all_waits_of_a_caller_together_are_as_long_as_its_limit(
        start in instants(), limit in up_to(HOUR), pauses in prop::collection::vec(up_to(HOUR), 0..4),
    ) {
        let mut patience = Patience::default();
        prop_assert_eq!(patience.left(limit, start), limit);
        let mut waited = Duration::ZERO;
        for pause in pauses {
            waited += pause;
            prop_assert_eq!(patience.left(limit, start + waited), limit.saturating_sub(waited));
        }
    }
}
