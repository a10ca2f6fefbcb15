//! Law F2: whatever befalls the Redis, calls go on, it is counted, and the fleet is one again after.

use std::time::Duration;

use http::StatusCode;
use tower_partner_auth::FetchOutcome;

use super::fleet::{Fleet, Process, assert_ok, call_all, call_for, keys, sum, tokens, within};
use super::proxy::{Proxy, Way};
use super::server::RedisServer;

const SECOND: Duration = Duration::from_secs(1);

/// That each fetches for itself, and tells.
async fn assert_goes_on_alone(fleet: &Fleet, processes: &[Process]) {
    let before = fleet.sandbox.token_requests();
    let direct = sum(processes, |store| store.direct);
    let failures = sum(processes, |store| store.failures);
    fleet.sandbox.revoke_all();
    assert_ok(&call_all(processes).await);
    let number = processes.len() as u64;
    assert_eq!(fleet.sandbox.token_requests() - before, number);
    assert_eq!(sum(processes, |store| store.direct) - direct, number);
    assert!(sum(processes, |store| store.failures) - failures >= number);
    for process in processes {
        assert!(!process.store().available, "{:?}", process.store());
        assert!(matches!(process.last_fetch(), FetchOutcome::Fetched), "{:?}", process.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_is_absent_at_the_start_may_come_later() {
    // Given
    let mut fleet = Fleet::with(RedisServer::absent()).await;
    let processes = fleet.impatient(4);
    // When, then
    assert_goes_on_alone(&fleet, &processes).await;
    assert_eq!(tokens(&processes), 4);
    // When
    fleet.redis.restart();
    fleet.until_reached(&processes).await;
    // Then
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_is_killed_under_load_fails_no_call_and_holds_up_none_that_has_a_token() {
    // Given
    let mut fleet = Fleet::start().await;
    let processes = fleet.impatient(8);
    let called = call_all(&processes).await;
    assert_ok(&called);
    assert!(called.iter().all(|call| call.outcome.waited_for_token()), "{called:?}");
    // When
    let load = tokio::spawn({
        let processes = processes.clone();
        async move { call_for(&processes, SECOND, SECOND / 100).await }
    });
    let before = fleet.sandbox.api_requests();
    fleet.sandbox.until(|at| at.api_requests() >= before + 80).await;
    fleet.redis.kill();
    let called = load.await.unwrap();
    // Then
    assert_ok(&called);
    assert!(called.iter().all(|call| !call.outcome.waited_for_token()), "{called:?}");
    assert_eq!(fleet.sandbox.token_requests(), 1);

    // When they need tokens while it is gone, each gets its own.
    assert_goes_on_alone(&fleet, &processes).await;
    // And with those there is no waiting either.
    let called = call_for(&processes, SECOND / 4, SECOND / 100).await;
    assert_ok(&called);
    assert!(called.iter().all(|call| !call.outcome.waited_for_token()), "{called:?}");

    // When it is back, they are one again.
    fleet.redis.restart();
    fleet.until_reached(&processes).await;
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn renewals_go_on_behind_calls_while_redis_comes_and_goes() {
    // Given tokens that are renewed all the time.
    let mut fleet = Fleet::start().await;
    fleet.sandbox.token_life(4 * SECOND);
    let processes = fleet.impatient(4);
    assert_ok(&call_all(&processes).await);
    let load = tokio::spawn({
        let processes = processes.clone();
        async move { call_for(&processes, 12 * SECOND, SECOND / 50).await }
    });
    // When
    let renewed = |times| {
        let sandbox = fleet.sandbox.clone();
        async move { sandbox.until(|at| at.token_requests() >= times).await }
    };
    renewed(2).await;
    fleet.redis.kill();
    let before = fleet.sandbox.token_requests();
    renewed(before + 4).await;
    fleet.redis.restart();
    let called = load.await.unwrap();
    // Then
    assert_ok(&called);
    let waited = called.iter().filter(|call| call.outcome.waited_for_token()).count();
    assert_eq!(waited, 0, "of {} calls", called.len());
    assert_eq!(fleet.sandbox.api_answers(StatusCode::UNAUTHORIZED), 0);
    assert!(sum(&processes, |store| store.direct) >= 4);
    fleet.until_reached(&processes).await;
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_was_restarted_between_two_fetches_is_not_missed() {
    // Given
    let mut fleet = Fleet::start().await;
    let processes = fleet.processes(6);
    assert_ok(&call_all(&processes).await);
    // When nobody asks it meanwhile.
    fleet.redis.kill();
    fleet.redis.restart();
    // Then
    fleet.assert_converges(&processes).await;
    assert_eq!(sum(&processes, |store| store.direct), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_hangs_is_waited_for_as_long_as_was_said() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.impatient(4);
    assert_ok(&call_all(&processes).await);
    // When
    fleet.redis.pause();
    // Then
    assert_goes_on_alone(&fleet, &processes).await;
    // When
    fleet.redis.resume();
    fleet.until_reached(&processes).await;
    // Then
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_answers_too_late_is_gone_without() {
    // Given
    let fleet = Fleet::start().await;
    let proxy = Proxy::start(fleet.redis.port()).await;
    proxy.set(Way::Long(SECOND / 4));
    let process = || fleet.process_at(&proxy.url(), keys(), |builder| builder);
    let processes = [process(), process(), process()];
    // When, then
    assert_goes_on_alone(&fleet, &processes).await;
    assert_goes_on_alone(&fleet, &processes).await;
    // When
    proxy.set(Way::Open);
    fleet.until_reached(&processes).await;
    // Then
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_is_slow_is_used_by_those_who_give_it_time() {
    // Given
    let fleet = Fleet::start().await;
    let proxy = Proxy::start(fleet.redis.port()).await;
    proxy.set(Way::Long(SECOND / 10));
    let process =
        || fleet.process_at(&proxy.url(), keys(), |builder| builder.store_timeout(5 * SECOND));
    let processes = [process(), process(), process()];
    // When
    assert_ok(&call_all(&processes).await);
    // Then
    assert_eq!(fleet.sandbox.token_requests(), 1);
    assert_eq!(sum(&processes, |store| store.failures), 0);
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_process_that_is_cut_off_goes_on_alone_and_comes_back() {
    // Given
    let fleet = Fleet::start().await;
    let proxy = Proxy::start(fleet.redis.port()).await;
    let cut_off = fleet.process_at(&proxy.url(), keys(), |builder| builder);
    let others = fleet.processes(3);
    let all: Vec<_> = others.iter().chain([&cut_off]).cloned().collect();
    assert_ok(&call_all(&all).await);
    assert_eq!(tokens(&all), 1);
    // When
    proxy.set(Way::Cut);
    assert_goes_on_alone(&fleet, std::slice::from_ref(&cut_off)).await;
    // Then the others do not notice.
    let before = fleet.sandbox.token_requests();
    assert_ok(&call_all(&others).await);
    assert_eq!(fleet.sandbox.token_requests() - before, 1);
    assert_eq!(tokens(&others), 1);
    assert_eq!(sum(&others, |store| store.failures), 0);
    // When
    proxy.set(Way::Open);
    fleet.until_reached(&all).await;
    // Then
    fleet.assert_converges(&all).await;
}

/// Firewalls forget connections that are idle for minutes; a process that fetches once an hour would
/// never reach its Redis.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_connection_that_is_idle_is_kept_alive() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.processes(3);
    // When
    assert_ok(&call_all(&processes).await);
    // Then the kernel has a timer of this kind for each of their connections.
    let remote = format!(":{:04X}", fleet.redis.port());
    let kept_alive = || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("a Linux");
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .filter(|line| line[2].ends_with(&remote))
            .filter(|line| line[3] == "01" && line[5].starts_with("02:"))
            .count()
    };
    within(10 * SECOND, async {
        // While an acknowledgement is awaited, the timer is of another kind.
        while kept_alive() != processes.len() {
            tokio::time::sleep(SECOND / 100).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_became_a_replica_gives_what_it_has_and_takes_nothing() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.processes(3);
    assert_ok(&call_all(&processes).await);
    // When its master is nowhere, and it is read-only.
    let nowhere = RedisServer::absent().port().to_string();
    fleet.redis.tell(&["REPLICAOF", "127.0.0.1", &nowhere]);
    // Then
    let reader = fleet.processes(1).remove(0);
    assert_ok(&[reader.call().await]);
    assert_eq!(fleet.sandbox.token_requests(), 1, "what is there can be read");
    assert_goes_on_alone(&fleet, &processes).await;
    // When
    fleet.redis.tell(&["REPLICAOF", "NO", "ONE"]);
    // Then
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_user_that_may_not_write_goes_on_alone() {
    // Given
    let fleet = Fleet::start().await;
    fleet.redis.tell(&["ACL", "SETUSER", "reader", "on", ">word", "~*", "+@all", "-@write"]);
    let url = format!("redis://reader:word@127.0.0.1:{}", fleet.redis.port());
    let process = || fleet.process_at(&url, keys(), |builder| builder.store_timeout(5 * SECOND));
    let processes = [process(), process()];
    // When, then
    assert_goes_on_alone(&fleet, &processes).await;
    // When
    fleet.redis.tell(&["ACL", "SETUSER", "reader", "+@write"]);
    // Then
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_wrong_password_is_told_and_harms_no_call() {
    // Given
    let fleet = Fleet::start().await;
    fleet.redis.tell(&["ACL", "SETUSER", "fleet", "on", ">word", "~*", "+@all"]);
    let url = format!("redis://fleet:sword@127.0.0.1:{}", fleet.redis.port());
    let processes = [fleet.process_at(&url, keys(), |builder| builder)];
    // When, then
    assert_goes_on_alone(&fleet, &processes).await;
    // When
    fleet.redis.tell(&["ACL", "SETUSER", "fleet", ">sword"]);
    fleet.until_reached(&processes).await;
    // Then
    fleet.assert_converges(&[processes[0].clone(), fleet.processes(1).remove(0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_full_redis_takes_nothing_until_it_has_room() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.processes(3);
    assert_ok(&call_all(&processes).await);
    // When
    fleet.redis.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    fleet.redis.tell(&["SET", "ballast", &"x".repeat(1 << 20)]);
    fleet.redis.tell(&["CONFIG", "SET", "maxmemory", "1mb"]);
    // Then
    assert_goes_on_alone(&fleet, &processes).await;
    // When
    fleet.redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    // Then
    fleet.assert_converges(&processes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_was_flushed_is_filled_again_with_one_token() {
    // Given
    let fleet = Fleet::start().await;
    let processes = fleet.processes(3);
    assert_ok(&call_all(&processes).await);
    // When
    fleet.redis.tell(&["FLUSHALL"]);
    fleet.redis.tell(&["SCRIPT", "FLUSH"]);
    // Then what they have is as good as before,
    assert_ok(&call_all(&processes).await);
    assert_eq!(fleet.sandbox.token_requests(), 1);
    // and the next is shared.
    fleet.assert_converges(&processes).await;
    assert_eq!(sum(&processes, |store| store.failures), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_is_flushed_in_mid_fetch_refuses_the_token_and_nobody_is_held_up() {
    // Given
    let fleet = Fleet::start().await;
    fleet.sandbox.token_delay(SECOND / 2);
    let holder = fleet.processes(1).remove(0);
    let held = tokio::spawn({
        let holder = holder.clone();
        async move { holder.call().await }
    });
    fleet.sandbox.until(|at| at.token_requests() == 1).await;
    // When
    fleet.redis.tell(&["FLUSHALL"]);
    assert_ok(&[held.await.unwrap()]);
    // Then
    assert_eq!((holder.store().put, holder.store().late), (0, 1));
    assert!(fleet.redis.names().is_empty(), "what is late leaves nothing");
    fleet.assert_converges(&[holder, fleet.processes(1).remove(0)]).await;
}
