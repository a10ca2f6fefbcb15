//! Names and seals, and the change of keys.

use super::*;

#[tokio::test(start_paused = true)]
async fn processes_share_while_keys_are_changed() {
    let tokens = TokenServer::default().then(200, grant(1_000));
    let store = MemoryStore::default();
    let with = |keys| process_with(&tokens, &store, keys, |builder| builder);
    // Given processes with the old key, and those that have the new one as well
    let old = with(key(1));
    let both = [with(key(1).and(key(2))), with(key(2).and(key(1)))];
    old.call().await.unwrap();
    for process in &both {
        process.call().await.unwrap();
    }
    assert_eq!(tokens.requests(), 1);
    // When one of those renews
    tokio::time::sleep(999 * SECOND + SECOND).await;
    both[0].call().await.unwrap();
    // Then those with either key have it
    with(key(1)).call().await.unwrap();
    with(key(2)).call().await.unwrap();
    both[1].call().await.unwrap();
    assert_eq!(tokens.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_the_tokens_under_two_keys_the_newest_is_taken() {
    for (stale, renewing) in [(1, 2), (2, 1)] {
        // Given a token under both keys, and a newer one from a process that has only one of them
        let tokens = TokenServer::default().then(200, grant(1_000));
        let store = MemoryStore::default();
        let both =
            || process_with(&tokens, &store, key(stale).and(key(renewing)), |builder| builder);
        both().call().await.unwrap();
        tokio::time::sleep(SECOND).await;
        let one = process_with(&tokens, &store, key(renewing), |builder| builder);
        assert_eq!(call_api(&one, "token-2").await.status(), StatusCode::OK);
        assert_eq!(call_api(&one, "token-2").await.status(), StatusCode::OK);
        // When
        let newcomer = both();
        newcomer.call().await.unwrap();
        // Then
        assert_eq!(last_carried(&newcomer), "Bearer token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_in_mid_rotation_that_starts_as_one_still_costs_one_token_request() {
    let tokens = TokenServer::default().then_after(SECOND / 2, 200, grant(1_000));
    let store = MemoryStore::default();
    let keys = |number| if number % 2 == 0 { key(1).and(key(2)) } else { key(2).and(key(1)) };
    let fleet: Vec<_> = (0..20)
        .map(|number| process_with(&tokens, &store, keys(number), |builder| builder))
        .collect();
    let start = Instant::now();
    call_all(&fleet).await;
    assert_eq!(tokens.requests(), 1);
    assert!(start.elapsed() < 2 * SECOND, "nobody kept one lease while waiting for another");
}

#[tokio::test(start_paused = true)]
async fn the_store_and_what_is_printed_tell_nothing() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    let one = process(&tokens, &store);
    one.call().await.unwrap();
    let (name, entry) = store.contents().remove(0);
    for clear in ["token-1", "a b", "my client", "accounts.example.com", API, "Bearer"] {
        let clear_hex: String = clear.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!name.contains(clear) && !name.contains(&clear_hex));
        let found = entry.windows(clear.len()).any(|window| window == clear.as_bytes());
        assert!(!found, "{clear}");
    }
    let printed = format!("{:?} {:?} {:?}", key(1), one.auth, one.auth.status());
    assert!(!printed.contains("token-1") && !printed.contains("[1, 1"), "{printed}");
}

#[test]
fn keys_are_32_bytes_in_base64() {
    let good = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    StoreKeys::from_base64(good).unwrap();
    StoreKeys::from_base64(&format!("{good}\n")).unwrap();
    for bad in ["", "AQ==", "not base64", &good[1..], &good.repeat(2), &"A".repeat(1_000)] {
        let error = StoreKeys::from_base64(bad).unwrap_err();
        assert!(error.to_string().contains("openssl rand -base64 32"), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_of_the_store() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    let one = process(&tokens, &store);
    one.call().await.unwrap();
    let status = serde_json::to_value(one.auth.status()).unwrap();
    assert_eq!(status["store"]["available"], true);
    assert_eq!(status["store"]["put"], 1);
    assert_eq!(status["tokens"][0]["state"], "fresh");
    let alone = Scripted::new(tokens);
    assert!(alone.auth.status().store().is_none());
    assert!(serde_json::to_value(alone.auth.status()).unwrap().get("store").is_none());
}
