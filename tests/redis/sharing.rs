//! What a fleet saves while all is well, and what it costs the Redis.

use std::time::{Duration, Instant};

use http::StatusCode;
use tower_partner_auth::FetchOutcome;
use tower_partner_auth::sandbox::Answer;
use tower_partner_auth::store::RedisStore;

use super::common;
use super::fleet::{Fleet, Process, assert_ok, call_all, call_for, key, keys, sum, tokens};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_rejected_token_costs_the_fleet_one_token_request() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.processes(8);
    assert_ok(&call_all(&processes).await);
    assert_eq!(fleet.sandbox.token_requests(), 1);
    // When
    fleet.sandbox.revoke_all();
    let called = call_all(&processes).await;
    // Then
    assert_ok(&called);
    assert!(called.iter().all(|call| call.outcome.replayed()), "{called:?}");
    assert_eq!(fleet.sandbox.token_requests(), 2);
    assert_eq!(fleet.sandbox.api_answers(StatusCode::UNAUTHORIZED), 8);
    assert_eq!(tokens(&processes), 1);

    // And one that meets the revocation when the others are done with it asks for nothing.
    let late = fleet.process(|builder| builder.store_timeout(5 * SECOND));
    assert_ok(&[late.call().await]);
    fleet.sandbox.revoke_all();
    assert_ok(&call_all(&processes).await);
    assert_eq!(fleet.sandbox.token_requests(), 3);
    let called = late.call().await;
    assert!(called.outcome.replayed(), "{called:?}");
    assert_eq!(fleet.sandbox.token_requests(), 3);
    assert!(matches!(late.last_fetch(), FetchOutcome::Shared), "{:?}", late.last_fetch());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn where_each_issue_revokes_the_previous_token_a_fleet_evicts_itself_no_more() {
    // Given
    let fleet = Fleet::start().await;
    fleet.sandbox.revoke_previous(true);
    let processes = fleet.processes(8);
    // When
    let called = call_for(&processes, 3 * SECOND, SECOND / 50).await;
    // Then
    assert_ok(&called);
    assert_eq!(fleet.sandbox.token_requests(), 1);
    assert_eq!(fleet.sandbox.api_answers(StatusCode::UNAUTHORIZED), 0);
    for process in &processes {
        assert_eq!(process.status().evictions(), 0, "{:?}", process.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn where_each_issue_revokes_the_previous_token_a_renewal_fails_no_call() {
    // Given
    let fleet = Fleet::start().await;
    fleet.sandbox.revoke_previous(true);
    fleet.sandbox.token_life(2 * SECOND);
    fleet.sandbox.token_delay(SECOND / 20);
    let processes = fleet.processes(8);
    // When
    let called = call_for(&processes, 7 * SECOND, SECOND / 50).await;
    // Then
    assert_ok(&called);
    let asked = fleet.sandbox.token_requests();
    eprintln!(
        "{} calls, {asked} token requests, {} rejections, {} replays",
        called.len(),
        fleet.sandbox.api_answers(StatusCode::UNAUTHORIZED),
        called.iter().filter(|call| call.outcome.replayed()).count(),
    );
    // A token is renewed in the second half of its life.
    assert!((4..=8).contains(&asked), "{asked}");
    assert_eq!(sum(&processes, |store| store.put), asked);
    for process in &processes {
        assert_eq!(process.status().evictions(), 0, "{:?}", process.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn without_a_store_eight_rivals_evict_each_other_for_ever_at_a_bounded_pace() {
    // Given
    let fleet = Fleet::start().await;
    fleet.sandbox.revoke_previous(true);
    let processes: Vec<_> = (0..8).map(|_| fleet.loner(|builder| builder)).collect();
    // When
    let begin = Instant::now();
    let called = call_for(&processes, 10 * SECOND, SECOND / 50).await;
    let elapsed = begin.elapsed();
    // Then each evicts the others, for ever,
    let asked = fleet.sandbox.token_requests();
    let evictions: u32 = processes.iter().map(|process| process.status().evictions()).sum();
    let lost = called.iter().filter(|call| call.status != StatusCode::OK).count();
    // How many calls are lost is chance: those that are evicted twice, as they are sent again only once;
    // and if that befalls a process before it has seen an eviction, it blames the route for a while.
    eprintln!("{lost} of {} lost, {asked} token requests, {evictions} evictions", called.len());
    assert!(evictions > 8, "{evictions}");
    // but no more often than it leaves the others a head start of a quarter of a second.
    let turns = u64::try_from(elapsed.as_millis() / 250).unwrap();
    assert!(asked <= 8 * (1 + turns), "{asked} in {elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn fifty_that_wait_for_one_fetch_ask_redis_a_handful_of_times_each() {
    // Given
    let fleet = Fleet::start().await;
    fleet.sandbox.token_delay(SECOND / 2);
    let processes = fleet.processes(50);
    // When
    assert_ok(&call_all(&processes).await);
    // Then
    assert_eq!(fleet.sandbox.token_requests(), 1);
    let asked = fleet.redis.calls("evalsha");
    eprintln!("{asked} commands of 50 processes");
    // Each looks, asks for the lease, and looks again after 10 to 20 ms, and then twice as long each
    // time: seven times in 635 to 1,270 ms.
    assert!((100..=50 * 10).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_call_that_has_a_fresh_token_asks_redis_nothing() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.processes(2);
    assert_ok(&call_all(&processes).await);
    let before = fleet.redis.calls("evalsha");
    // When
    for _ in 0..20 {
        assert_ok(&call_all(&processes).await);
    }
    // Then
    assert_eq!(fleet.redis.calls("evalsha"), before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_slow_holder_whose_lease_ran_out_does_not_overwrite_a_newer_token() {
    // Given
    let fleet = Fleet::start().await;
    let process =
        || fleet.process(|builder| builder.store_timeout(5 * SECOND).store_lease(SECOND / 5));
    let (slow, quick, third) = (process(), process(), process());
    fleet.sandbox.token_delay(2 * SECOND);
    let held = tokio::spawn({
        let slow = slow.clone();
        async move { slow.call().await }
    });
    fleet.sandbox.until(|at| at.token_requests() == 1).await;
    // When
    fleet.sandbox.token_delay(Duration::ZERO);
    assert_ok(&[quick.call().await]);
    assert!(!held.is_finished(), "the first answer is on its way yet");
    assert_ok(&[held.await.unwrap()]);
    // Then
    assert_eq!(fleet.sandbox.token_requests(), 2);
    assert_eq!((slow.store().put, slow.store().late), (0, 1));
    assert_eq!((quick.store().put, quick.store().late), (1, 0));
    assert_ok(&[third.call().await]);
    assert_eq!(third.token(), quick.token());
    assert_ne!(third.token(), slow.token());
    fleet.assert_converges(&[slow, quick, third]).await;
}

/// A fleet of two, of which the second has an older token than the first.
async fn one_behind() -> (Fleet, Process, Process) {
    let fleet = Fleet::start().await;
    let mut processes = fleet.processes(2);
    assert_ok(&call_all(&processes).await);
    let (behind, ahead) = (processes.remove(1), processes.remove(0));
    ahead.auth.invalidate(&common::scope("refer_merchant"));
    assert_ok(&[ahead.call().await]);
    assert_eq!(fleet.sandbox.token_requests(), 2);
    assert_ne!(ahead.token(), behind.token());
    (fleet, ahead, behind)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_token_that_is_being_replaced_is_not_taken_for_a_rejected_one() {
    // Given that both tokens are revoked, and one of the two has found out.
    let (fleet, ahead, behind) = one_behind().await;
    fleet.sandbox.revoke_all();
    fleet.sandbox.token_delay(SECOND / 2);
    let renewal = tokio::spawn({
        let ahead = ahead.clone();
        async move { ahead.call().await }
    });
    fleet.sandbox.until(|at| at.token_requests() == 3).await;
    // When
    let called = behind.call().await;
    // Then
    assert_ok(&[called, renewal.await.unwrap()]);
    assert_eq!(fleet.sandbox.token_requests(), 3);
    assert_eq!(tokens(&[ahead, behind]), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_shared_token_that_is_rejected_as_well_costs_one_call_and_no_more() {
    // Given that both tokens are revoked, and nobody knows.
    let (fleet, _, behind) = one_behind().await;
    fleet.sandbox.revoke_all();
    // When
    let called = behind.call().await;
    // Then a request is sent again once, and that was with the token of the store;
    assert_eq!(called.status, StatusCode::UNAUTHORIZED);
    assert_eq!(fleet.sandbox.token_requests(), 2);
    // but the route is not blamed for it.
    assert_ok(&[behind.call().await]);
    assert_eq!(fleet.sandbox.token_requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn keys_are_changed_without_a_moment_in_which_tokens_are_not_shared() {
    // Given
    let fleet = Fleet::start().await;
    let old = fleet.process_of(key(1));
    let both = fleet.process_of(key(1).and(key(2)));
    let other_way_round = fleet.process_of(key(2).and(key(1)));
    let new = fleet.process_of(key(2));
    // When
    assert_ok(&[old.call().await]);
    assert_ok(&[both.call().await]);
    // Then
    assert_eq!(fleet.sandbox.token_requests(), 1);
    assert_eq!(old.token(), both.token());

    // What one with both keys fetches is for all; the first of a kind leaves it to one of them.
    for processes in [
        vec![old.clone(), both.clone(), other_way_round.clone()],
        vec![both.clone(), other_way_round.clone(), new.clone()],
    ] {
        fleet.sandbox.revoke_all();
        assert_ok(&call_all(&processes).await);
        fleet.assert_converges(&processes).await;
    }
    fleet.sandbox.revoke_all();
    let before = fleet.sandbox.token_requests();
    for process in [&both, &old, &new, &other_way_round] {
        assert_ok(&[process.call().await]);
    }
    assert_eq!(fleet.sandbox.token_requests(), before + 1);
    assert_eq!(tokens(&[old, both, other_way_round, new]), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_user_with_no_more_than_the_rights_of_the_documentation_is_enough() {
    // Given
    let fleet = Fleet::start().await;
    let rights = [
        "ACL",
        "SETUSER",
        "fleet",
        "on",
        ">pass/word",
        "resetkeys",
        "~partner:*",
        "-@all",
        "+evalsha",
        "+script|load",
        "+type",
        "+time",
        "+hmget",
        "+hget",
        "+hset",
        "+pttl",
        "+pexpire",
        "+del",
    ];
    fleet.redis.tell(&rights);
    let url = format!("redis://fleet:pass%2Fword@127.0.0.1:{}", fleet.redis.port());
    let process = || {
        let store = RedisStore::connect(&*url).unwrap().with_prefix("partner:");
        fleet.loner(|builder| builder.shared_store(store, keys()).store_timeout(5 * SECOND))
    };
    let processes = [process(), process(), process()];
    // When
    assert_ok(&call_all(&processes).await);
    // Then
    assert_eq!(fleet.sandbox.token_requests(), 1);
    assert_eq!(sum(&processes, |store| store.failures), 0);
    assert!(fleet.redis.names().iter().all(|name| name.starts_with("partner:")));
    // What is no hash is removed, and the lease of a failed fetch ended.
    let name = fleet.redis.names().remove(0);
    fleet.redis.tell(&["DEL", &name]);
    fleet.redis.tell(&["SET", &name, "garbage"]);
    fleet.assert_converges(&processes).await;
    assert_eq!(sum(&processes, |store| store.failures), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_failed_fetch_gives_the_lease_back() {
    // Given a lease that nobody would wait for.
    let fleet = Fleet::start().await;
    let process = || {
        fleet.process(|builder| {
            builder.store_timeout(5 * SECOND).store_lease(600 * SECOND).token_retries(0)
        })
    };
    let (unlucky, next) = (process(), process());
    fleet.sandbox.script_token([Answer::status(503)]);
    // When
    unlucky.try_path(common::MERCHANT).await.unwrap_err();
    // Then
    assert_ok(&[next.call().await]);
    assert_eq!(fleet.sandbox.token_requests(), 2);
    assert_eq!(next.store().direct, 0);
}
