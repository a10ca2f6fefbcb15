//! What is under a name and should not be there: it costs a token request, and is gone.

use std::time::Duration;

use super::fleet::{Fleet, Process, assert_ok, call_all, key, sum, tokens};

/// A route of another scope.
const CREDENTIAL: &str = "/api/v1/merchants/8391017/credential";

/// A fleet of two with one token, and its name.
async fn sharing() -> (Fleet, Vec<Process>, String) {
    let fleet = Fleet::start().await;
    let processes = fleet.processes(2);
    assert_ok(&call_all(&processes).await);
    let mut names = fleet.redis.names();
    assert_eq!(names.len(), 1);
    (fleet, processes, names.remove(0))
}

/// That newcomers pay no heed to what is there, and go on with one token of their own.
async fn assert_is_replaced(fleet: &Fleet, unreadable: u64) -> Vec<Process> {
    let before = fleet.sandbox.token_requests();
    let newcomers = fleet.processes(3);
    assert_ok(&call_all(&newcomers).await);
    assert_eq!(fleet.sandbox.token_requests() - before, 1);
    assert_eq!(tokens(&newcomers), 1);
    assert_eq!(sum(&newcomers, |store| store.failures), 0);
    assert!(sum(&newcomers, |store| store.unreadable) >= unreadable);
    newcomers
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn what_is_no_hash_is_replaced() {
    for garbage in [
        &["SET", "", "garbage"][..],
        &["RPUSH", "", "garbage"],
        &["SADD", "", "garbage"],
        &["ZADD", "", "1", "garbage"],
        &["XADD", "", "*", "garbage", "garbage"],
    ] {
        // Given
        let (fleet, processes, name) = sharing().await;
        // When
        fleet.redis.tell(&["DEL", &name]);
        let mut command = garbage.to_vec();
        command[1] = &name;
        fleet.redis.tell(&command);
        // Then
        let newcomers = assert_is_replaced(&fleet, 0).await;
        fleet.assert_catch_up(&processes, &newcomers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn bytes_that_are_no_entry_are_counted_and_replaced() {
    // A version of the future, and what begins as an entry does.
    for garbage in
        ["", "garbage", "\u{2}garbage", "\u{1}", "\u{1}123456789012", "\u{1}a longer garbage"]
    {
        // Given
        let (fleet, processes, name) = sharing().await;
        // When
        fleet.redis.tell(&["HSET", &name, "entry", garbage]);
        // Then
        let newcomers = assert_is_replaced(&fleet, 1).await;
        fleet.assert_catch_up(&processes, &newcomers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_of_which_one_bit_was_changed_is_replaced() {
    // Given
    let (fleet, _, name) = sharing().await;
    let entry: Vec<u8> = fleet.redis.ask(&["HGET", &name, "entry"]);
    for (byte, bit) in [(0, 0), (1, 7), (13, 0), (entry.len() - 1, 3)] {
        // When
        let mut changed = entry.clone();
        changed[byte] ^= 1 << bit;
        let mut connection = fleet.redis.connection();
        let set = redis::cmd("HSET").arg(&name).arg("entry").arg(changed).exec(&mut connection);
        set.unwrap();
        // Then
        assert_is_replaced(&fleet, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_that_was_moved_to_another_name_is_no_token_there() {
    // Given two scopes.
    let (fleet, processes, merchant) = sharing().await;
    assert_ok(&[processes[0].call_path(CREDENTIAL).await]);
    let names = fleet.redis.names();
    let credential = names.iter().find(|name| **name != merchant).expect("two");
    // When
    fleet.redis.tell(&["COPY", credential, &merchant, "REPLACE"]);
    // Then
    let newcomers = assert_is_replaced(&fleet, 1).await;
    assert_ok(&[newcomers[0].call_path(CREDENTIAL).await]);
    assert_eq!(newcomers[0].token(), {
        assert_ok(&[processes[0].call_path(CREDENTIAL).await]);
        processes[0].token()
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_that_is_too_large_is_not_even_fetched() {
    // Given
    let (fleet, _, name) = sharing().await;
    // When
    let garbage = "x".repeat(16 << 20);
    fleet.redis.tell(&["HSET", &name, "entry", &garbage]);
    // Then
    let before = fleet.redis.sent();
    assert_is_replaced(&fleet, 1).await;
    assert!(fleet.redis.sent() - before < 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_lease_without_end_breaks_nothing() {
    // Given
    let fleet = Fleet::start().await;
    let endless =
        || fleet.process(|builder| builder.store_timeout(Duration::MAX).store_lease(Duration::MAX));
    let processes = [endless(), endless()];
    // When
    assert_ok(&call_all(&processes).await);
    // Then
    assert_eq!(sum(&processes, |store| store.failures), 0);
    assert_eq!(fleet.sandbox.token_requests(), 1);
    fleet.assert_converges(&fleet.processes(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_of_another_key_is_no_token() {
    // Given
    let (fleet, processes, name) = sharing().await;
    let stranger = fleet.process_of(key(9));
    assert_ok(&[stranger.call().await]);
    assert_eq!(fleet.sandbox.token_requests(), 2, "nothing is shared with another key");
    let names = fleet.redis.names();
    let strange = names.iter().find(|other| **other != name).expect("two");
    // When
    fleet.redis.tell(&["COPY", strange, &name, "REPLACE"]);
    // Then
    let newcomers = assert_is_replaced(&fleet, 1).await;
    fleet.assert_catch_up(&processes, &newcomers).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn times_that_are_none_hold_nobody_up() {
    for field in ["lease", "since"] {
        for garbage in ["", "garbage", "nan", "inf", "-inf", "-1", "1e300", "0x7fffffffffffffff"] {
            // Given
            let (fleet, processes, name) = sharing().await;
            // When
            fleet.redis.tell(&["HSET", &name, field, garbage]);
            // Then
            let before = fleet.sandbox.token_requests();
            let newcomers = fleet.processes(3);
            assert_ok(&call_all(&newcomers).await);
            let case = format!("{field} {garbage:?}");
            assert!(fleet.sandbox.token_requests() - before <= 1, "{case}");
            assert_eq!(sum(&newcomers, |store| store.direct), 0, "{case}");
            assert_eq!(tokens(&newcomers), 1, "{case}");
            fleet.assert_catch_up(&processes, &newcomers).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_clock_that_was_set_back_holds_nobody_up() {
    // Given what the Redis wrote when its clock was an hour ahead.
    let (fleet, processes, name) = sharing().await;
    let time: (u64, u64) = fleet.redis.ask(&["TIME"]);
    let ahead = ((time.0 + 3_600) * 1_000).to_string();
    // When
    fleet.redis.tell(&["HSET", &name, "lease", &ahead, "since", &ahead]);
    // Then an entry of an age that nobody knows is no token, and a lease that is longer than any is
    // none.
    let newcomers = assert_is_replaced(&fleet, 0).await;
    assert_ne!(newcomers[0].token(), processes[0].token());
    assert_eq!(sum(&newcomers, |store| store.direct), 0);
    fleet.assert_catch_up(&processes, &newcomers).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_that_is_as_old_as_its_token_may_get_is_no_token() {
    // Given
    let (fleet, processes, name) = sharing().await;
    let since: u64 = fleet.redis.ask(&["HGET", &name, "since"]);
    // When nearly two hours have passed,
    let long_ago = since - u64::try_from(Duration::from_secs(7_190).as_millis()).unwrap();
    fleet.redis.tell(&["HSET", &name, "since", &long_ago.to_string()]);
    // Then
    let newcomers = assert_is_replaced(&fleet, 0).await;
    assert_ne!(newcomers[0].token(), processes[0].token());
}
