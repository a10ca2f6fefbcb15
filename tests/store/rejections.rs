//! Tokens that the API rejects, or the operator forgets.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_revoked_token_costs_the_fleet_one_token_request_and_counts_no_eviction() {
    // Given
    let tokens = TokenServer::default().then_after(SECOND / 10, 200, grant(100));
    let store = MemoryStore::default();
    let fleet = fleet(20, &tokens, &store);
    call_all(&fleet).await;
    tokio::time::sleep(10 * SECOND).await;
    // When the API accepts only the next one
    let mut calls = JoinSet::new();
    for process in fleet.clone() {
        calls.spawn(async move { call_api(&process, "token-2").await.status() });
    }
    // Then
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert_eq!(tokens.requests(), 2);
    let evicted = fleet
        .iter()
        .filter(|process| process.auth.status().tokens().next().unwrap().evictions() > 0);
    assert_eq!(evicted.count(), 1, "only where it was fetched anew");
    let shared = fleet.iter().filter(|process| {
        let status = process.auth.status();
        let last = status.tokens().next().unwrap().last_fetch().unwrap().outcome().clone();
        matches!(last, FetchOutcome::Shared)
    });
    assert_eq!(shared.count(), 19);
}

#[tokio::test(start_paused = true)]
async fn a_token_older_than_the_rejected_one_is_not_taken_for_newer() {
    // Given an old token in the store, and a newer one that never came there
    let tokens = TokenServer::default().then(200, grant(1_000));
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    let other = process(&tokens, &store);
    store.health(Health::Down);
    other.call().await.unwrap();
    assert_eq!(last_carried(&other), "Bearer token-2");
    store.health(Health::Well);
    tokio::time::sleep(10 * SECOND).await;
    // When that is rejected
    let response = call_api(&other, "token-3").await;
    // Then
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(tokens.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_rejected_token_is_not_taken_for_newer_because_it_was_put_again() {
    // Given a server that reuses its token
    let same = r#"{"access_token":"t","token_type":"Bearer","expires_in":1000}"#;
    let tokens = TokenServer::answering(same);
    let store = MemoryStore::default();
    let one = process(&tokens, &store);
    one.call().await.unwrap();
    tokio::time::sleep(SECOND).await;
    // When another has put it there once more, and then it is rejected
    store.flush();
    process(&tokens, &store).call().await.unwrap();
    tokio::time::sleep(SECOND).await;
    tokens.turn(Duration::ZERO, 200, grant(100));
    let response = call_api(&one, "token-3").await;
    // Then
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_token_is_not_taken_from_the_store_again() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    let fleet = fleet(2, &tokens, &store);
    call_all(&fleet).await;
    tokio::time::sleep(SECOND).await;
    fleet[0].auth.invalidate(&"a b".parse::<Scope>().unwrap());
    fleet[0].call().await.unwrap();
    assert_eq!(last_carried(&fleet[0]), "Bearer token-2");
    let third = process(&tokens, &store);
    third.call().await.unwrap();
    assert_eq!(last_carried(&third), "Bearer token-2");
    assert_eq!(tokens.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_flight_brings_that_was_invalidated_is_not_taken_from_the_store_either() {
    // Given a fetch that is under way
    let tokens = TokenServer::default().then_after(SECOND, 200, grant(100));
    let store = MemoryStore::default();
    let one = process(&tokens, &store);
    let call = tokio::spawn({
        let one = one.clone();
        async move { one.call().await }
    });
    tokio::time::sleep(SECOND / 2).await;
    // When
    one.auth.invalidate_all();
    call.await.unwrap().unwrap();
    // Then
    assert_eq!(last_carried(&one), "Bearer token-2");
    let next = process(&tokens, &store);
    next.call().await.unwrap();
    assert_eq!(last_carried(&next), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_changes_to_another_client_takes_the_token_that_is_there_for_it() {
    // Given one with the other client already, whose token is older than the last of the first client
    let tokens = TokenServer::default().then(200, grant(1_000));
    let store = MemoryStore::default();
    let other = || ClientCredentials::new("another client", "s3cret");
    let changed = process(&tokens, &store);
    changed.auth.set_credentials(other()).unwrap();
    changed.call().await.unwrap();
    tokio::time::sleep(SECOND).await;
    let late = process(&tokens, &store);
    late.call().await.unwrap();
    assert_eq!(tokens.requests(), 2);
    // When
    tokio::time::sleep(SECOND).await;
    late.auth.set_credentials(other()).unwrap();
    late.call().await.unwrap();
    // Then
    assert_eq!(tokens.requests(), 2);
    assert_eq!(last_carried(&late), "Bearer token-1");
}
