//! Who fetches, and what becomes of those who wait.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_flight_without_a_limit_waits_as_well() {
    let tokens = TokenServer::default().then_after(SECOND, 200, grant(100));
    let store = MemoryStore::default();
    let limitless = |builder: Builder| builder.token_timeout(Duration::MAX);
    let fleet = [(); 2].map(|()| process_with(&tokens, &store, key(1), limitless));
    call_all(&fleet).await;
    assert_eq!(tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_dies_delays_the_rest_by_its_lease_and_no_more() {
    // Given one process that dies in mid-fetch
    let tokens = TokenServer::default().then_after(3_600 * SECOND, 200, "").then(200, grant(100));
    let store = MemoryStore::default();
    let holder = process(&tokens, &store);
    let call = tokio::spawn(async move { holder.call().await });
    tokio::time::sleep(SECOND).await;
    call.abort();
    let start = Instant::now();
    // When
    call_all(&fleet(20, &tokens, &store)).await;
    // Then, of the lease of five seconds, four were left
    let waited = start.elapsed();
    assert!((4 * SECOND..5 * SECOND).contains(&waited), "{waited:?}");
    assert_eq!(tokens.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_fetch_fails_delays_nobody() {
    let refused = r#"{"error":"server_error"}"#;
    let tokens = TokenServer::default().then_after(SECOND / 10, 503, refused).then(200, grant(100));
    let store = MemoryStore::default();
    let holder = process(&tokens, &store);
    let failed = tokio::spawn(async move { holder.call().await });
    tokio::time::sleep(MILLISECOND).await;
    let start = Instant::now();
    process(&tokens, &store).call().await.unwrap();
    assert!(failed.await.unwrap().is_err());
    assert!(start.elapsed() < SECOND / 2, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_between_the_look_and_the_lease_is_taken() {
    // Given a process that has looked, and asks a slow store for the lease
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    store.health(Health::Slow(200 * MILLISECOND));
    let slow = process(&tokens, &store);
    let slow_call = tokio::spawn(async move { slow.call().await });
    tokio::time::sleep(300 * MILLISECOND).await;
    // When another does all of it at once
    store.health(Health::Well);
    let quick = process(&tokens, &store);
    quick.call().await.unwrap();
    // Then
    slow_call.await.unwrap().unwrap();
    assert_eq!(tokens.requests(), 1);
    // And the lease that it did not need holds nobody up
    let start = Instant::now();
    assert_eq!(call_api(&quick, "token-2").await.status(), StatusCode::OK);
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_holder_cannot_overwrite_a_newer_token() {
    // Given a holder that takes longer than its lease
    let tokens =
        TokenServer::default().then_after(8 * SECOND, 200, grant(100)).then(200, grant(100));
    let store = MemoryStore::default();
    let slow = process(&tokens, &store);
    let slow_call = tokio::spawn({
        let slow = slow.clone();
        async move { slow.call().await }
    });
    tokio::time::sleep(MILLISECOND).await;
    // When another gets the lease after it
    let other = process(&tokens, &store);
    other.call().await.unwrap();
    assert_eq!(last_carried(&other), "Bearer token-2");
    slow_call.await.unwrap().unwrap();
    // Then the slow one's token is its own
    assert_eq!(last_carried(&slow), "Bearer token-1");
    assert_eq!(store_status(&slow).late, 1);
    let third = process(&tokens, &store);
    third.call().await.unwrap();
    assert_eq!(last_carried(&third), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_never_ends_is_waited_for_no_longer_than_the_flight_can() {
    let tokens = TokenServer::default().then_after(3_600 * SECOND, 200, "").then(200, grant(100));
    let store = MemoryStore::default();
    let hour = |builder: Builder| builder.store_lease(3_600 * SECOND);
    let dead = process_with(&tokens, &store, key(1), hour);
    let call = tokio::spawn(async move { dead.call().await });
    tokio::time::sleep(MILLISECOND).await;
    call.abort();
    let start = Instant::now();
    let other = process(&tokens, &store);
    other.call().await.unwrap();
    // Of the thirty seconds of a flight, enough is left for a fetch of its own.
    assert_eq!(start.elapsed(), 30 * SECOND - ATTEMPT);
    assert_eq!(store_status(&other).direct, 1);
}
