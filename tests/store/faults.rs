//! A store that fails, and entries that are none.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_its_store_each_process_fetches_for_itself_after_a_moment() {
    for (health, delay) in [
        (Health::Down, Duration::ZERO),
        (Health::ReadOnly, Duration::ZERO),
        (Health::Hanging, 250 * MILLISECOND),
        (Health::Slow(SECOND / 2), 250 * MILLISECOND),
    ] {
        // Given
        let tokens = TokenServer::default().then(200, grant(100));
        let store = MemoryStore::default();
        store.health(health);
        let fleet = fleet(3, &tokens, &store);
        let start = Instant::now();
        // When
        call_all(&fleet).await;
        // Then
        assert_eq!(start.elapsed(), delay, "{health:?}");
        assert_eq!(tokens.requests(), 3, "{health:?}");
        for process in &fleet {
            let status = store_status(process);
            assert_eq!(
                (status.available, status.failures, status.direct),
                (false, 1, 1),
                "{health:?}"
            );
        }
        // When it is well again, and the tokens have to be renewed
        store.health(Health::Well);
        tokio::time::sleep(101 * SECOND).await;
        call_all(&fleet).await;
        // Then they have one token among them
        assert_eq!(tokens.requests(), 4, "{health:?}");
        assert!(fleet.iter().all(|process| store_status(process).available));
        assert!(fleet.iter().all(|process| last_carried(process) == "Bearer token-4"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_takes_no_short_fetch_its_time() {
    // Given two seconds for a fetch, and a store that is given one of them
    let tokens = TokenServer::default().then_after(600 * MILLISECOND, 200, grant(100));
    let store = MemoryStore::default();
    store.health(Health::Hanging);
    let hasty = |builder: Builder| builder.token_timeout(2 * SECOND).store_timeout(SECOND);
    let start = Instant::now();
    // When
    process_with(&tokens, &store, key(1), hasty).call().await.unwrap();
    // Then it had an eighth
    assert_eq!(start.elapsed(), 2 * SECOND / 8 + 600 * MILLISECOND);
}

#[tokio::test(start_paused = true)]
async fn a_read_only_store_still_gives_what_it_has() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    store.health(Health::ReadOnly);
    process(&tokens, &store).call().await.unwrap();
    assert_eq!(tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_fresh_token_knows_nothing_of_the_store() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    let one = process(&tokens, &store);
    one.call().await.unwrap();
    let asked = store.asked();
    store.health(Health::Hanging);
    let start = Instant::now();
    for _ in 0..100 {
        assert!(outcome(&one.send().await.unwrap()).is_none());
    }
    assert_eq!((store.asked(), start.elapsed()), (asked, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sealed_for_its_place_is_refused_and_replaced() {
    // Given entries for two audiences
    let tokens = TokenServer::default().then(200, grant(1_000));
    let store = MemoryStore::default();
    let with_audience = |audience: &'static str| {
        process_with(&tokens, &store, key(1), move |builder| {
            builder.token_parameter("audience", audience)
        })
    };
    with_audience("one").call().await.unwrap();
    let name = store.contents()[0].0.clone();
    with_audience("two").call().await.unwrap();
    let mut requests = tokens.requests();
    let entry = |of: &str| store.contents().into_iter().find(|(name, _)| name == of).unwrap().1;
    let foreign = store.contents().into_iter().find(|(other, _)| *other != name).unwrap().1;
    let own = entry(&name);
    let flipped = |at: usize| {
        let mut bytes = own.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let forged = [
        Bytes::new(),
        Bytes::from_static(b"\x01"),
        Bytes::from_static(b"garbage that somebody has put here, and long enough at that"),
        own.slice(..own.len() - 1),
        flipped(0),
        flipped(1),
        flipped(20),
        flipped(own.len() - 1),
        foreign,
    ];
    for entry_under_test in forged {
        // When one lies there that was not sealed for the place
        store.tamper(&name, entry_under_test.clone());
        let one = with_audience("one");
        one.call().await.unwrap();
        // Then it is as if there were none
        requests += 1;
        assert_eq!(tokens.requests(), requests, "{entry_under_test:?}");
        assert!(store_status(&one).unreadable > 0);
        let next = with_audience("one");
        next.call().await.unwrap();
        assert_eq!(tokens.requests(), requests, "and it has been replaced");
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_told_of_once_a_fetch_however_often_it_is_looked_at() {
    // Given garbage, and a server that takes its time to replace it
    let tokens =
        TokenServer::default().then(200, grant(100)).then_after(4 * SECOND, 200, grant(100));
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    let name = store.contents()[0].0.clone();
    store.tamper(&name, Bytes::from_static(b"garbage"));
    let fleet = fleet(10, &tokens, &store);
    // When
    call_all(&fleet).await;
    // Then
    assert!(fleet.iter().all(|process| store_status(process).unreadable == 1));
}
