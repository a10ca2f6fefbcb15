//! One fetch for all: what is shared, and what is not.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_fleet_that_starts_as_one_costs_one_token_request() {
    // Given a token server that takes half a second
    let tokens = TokenServer::default().then_after(SECOND / 2, 200, grant(100));
    let store = MemoryStore::default();
    let fleet = fleet(50, &tokens, &store);
    let start = Instant::now();
    // When
    call_all(&fleet).await;
    // Then
    assert_eq!(tokens.requests(), 1);
    assert!(fleet.iter().all(|process| last_carried(process) == "Bearer token-1"));
    assert!(start.elapsed() <= SECOND, "{:?}", start.elapsed());
    let asked = store.asked();
    assert!(asked <= 50 * 8 + 2, "{asked}: each looks now and then, and not all the time");
    let took = fleet.iter().filter(|process| store_status(process).taken == 1).count();
    assert_eq!(took, 49);
}

#[tokio::test(start_paused = true)]
async fn each_renewal_costs_the_fleet_one_token_request_and_no_call_waits() {
    // Given
    let tokens = TokenServer::default().then_after(SECOND / 5, 200, grant(100));
    let store = MemoryStore::default();
    let fleet = fleet(20, &tokens, &store);
    call_all(&fleet).await;
    // When each calls once a second, for a thousand seconds
    let mut waited = 0;
    for _ in 0..1_000 {
        tokio::time::sleep(SECOND).await;
        for process in &fleet {
            waited += usize::from(outcome(&process.send().await.unwrap()).is_some());
        }
    }
    // Then
    assert_eq!(waited, 0);
    let generations: Vec<_> = fleet
        .iter()
        .map(|process| process.auth.status().tokens().next().unwrap().generation())
        .collect();
    let most = *generations.iter().max().unwrap();
    // A renewal comes in the second half of a life of a hundred seconds.
    assert!((11..=20).contains(&most), "{generations:?}");
    assert_eq!(tokens.requests() as u64, most, "{generations:?}");
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_anything_that_a_token_is_for_is_not_shared() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    let others: [fn(Builder) -> Builder; 4] = [
        |builder| builder.token_url("https://accounts.example.com/oauth/token2"),
        |builder| builder.token_parameter("audience", "a"),
        |builder| builder.token_parameter("aud", "iencea"),
        |builder| builder.token_header("x-tenant", "a"),
    ];
    for (number, other) in others.into_iter().enumerate() {
        process_with(&tokens, &store, key(1), other).call().await.unwrap();
        assert_eq!(tokens.requests(), number + 2);
    }
    let client = ClientCredentials::new("another client", "s3cret");
    let other =
        Scripted::of(client, tokens.clone(), |builder| builder.shared_store(store.clone(), key(1)));
    other.call().await.unwrap();
    assert_eq!(tokens.requests(), 6);
    process_with(&tokens, &store, key(2), |builder| builder).call().await.unwrap();
    assert_eq!(tokens.requests(), 7, "another key");
    process(&tokens, &store).call().await.unwrap();
    assert_eq!(tokens.requests(), 7, "nothing else");
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_its_order_alone_is_shared() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    let orders: [fn(Builder) -> Builder; 2] = [
        |builder| builder.token_parameter("a", "1").token_parameter("b", "2"),
        |builder| builder.token_parameter("b", "2").token_parameter("a", "1"),
    ];
    for order in orders {
        process_with(&tokens, &store, key(1), order).call().await.unwrap();
    }
    assert_eq!(tokens.requests(), 1);
    // But not that of two values of one name
    let orders: [fn(Builder) -> Builder; 2] = [
        |builder| builder.token_parameter("a", "1").token_parameter("a", "2"),
        |builder| builder.token_parameter("a", "2").token_parameter("a", "1"),
    ];
    for order in orders {
        process_with(&tokens, &store, key(1), order).call().await.unwrap();
    }
    assert_eq!(tokens.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_taken_ends_no_later_than_where_it_was_fetched() {
    // Given a token that took two seconds to come, in a store that takes some time to answer
    let tokens = TokenServer::default().then_after(2 * SECOND, 200, grant(100));
    let store = MemoryStore::default();
    let first = process(&tokens, &store);
    first.call().await.unwrap();
    store.health(Health::Slow(200 * MILLISECOND));
    tokio::time::sleep(30 * SECOND).await;
    let second = process(&tokens, &store);
    // When
    second.call().await.unwrap();
    // Then
    let remaining =
        |process: &Scripted| process.auth.status().tokens().next().unwrap().remaining().unwrap();
    assert_eq!(tokens.requests(), 1);
    assert!(remaining(&second) <= remaining(&first), "{:?}", remaining(&second));
    assert!(remaining(&first) - remaining(&second) <= SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_about_to_end_or_too_old_is_not_taken() {
    let tokens = TokenServer::default().then(200, grant(100));
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    let impatient = |builder: Builder| builder.max_token_age(50 * SECOND);
    process_with(&tokens, &store, key(1), impatient).call().await.unwrap();
    assert_eq!(tokens.requests(), 2, "older than this process uses any");
    tokio::time::sleep(91 * SECOND).await;
    process(&tokens, &store).call().await.unwrap();
    assert_eq!(tokens.requests(), 3, "in the last tenth of its life");
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_is_shared_as_well() {
    let body = r#"{"access_token":"token-{n}","token_type":"Bearer","scope":"a b c"}"#;
    let tokens = TokenServer::answering(body);
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    tokio::time::sleep(100_000 * SECOND).await;
    let late = process(&tokens, &store);
    late.call().await.unwrap();
    assert_eq!(tokens.requests(), 1);
    assert_eq!(late.auth.status().tokens().next().unwrap().remaining(), None);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_covers_too_little_is_kept_from_the_fleet() {
    // Given a server that grants too little at first
    let narrow = r#"{"access_token":"narrow","token_type":"Bearer","expires_in":1000,"scope":"a"}"#;
    let tokens = TokenServer::default().then(200, narrow).then(200, grant(1_000));
    let store = MemoryStore::default();
    let one = process(&tokens, &store);
    assert_eq!(kind(one.call().await), TokenErrorKind::NarrowScope);
    // When it no longer does
    let other = process(&tokens, &store);
    other.call().await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    one.call().await.unwrap();
    // Then
    assert_eq!(last_carried(&one), "Bearer token-2");
    assert_eq!(tokens.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_token_is_taken_until_the_fleet_renews_it() {
    // Given a token of thirty days, two days before its end: nobody renews it for a day yet
    let day = 24 * 60 * 60 * SECOND;
    let tokens = TokenServer::default().then(200, grant(30 * 24 * 60 * 60));
    let store = MemoryStore::default();
    process(&tokens, &store).call().await.unwrap();
    tokio::time::sleep(28 * day).await;
    // When a process starts
    process(&tokens, &store).call().await.unwrap();
    // Then
    assert_eq!(tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_no_life_is_shared_for_its_second() {
    let tokens = TokenServer::default().then_after(SECOND / 5, 200, grant(0));
    let store = MemoryStore::default();
    call_all(&fleet(10, &tokens, &store)).await;
    assert_eq!(tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_its_source_had_for_a_while_ends_for_all_when_it_ends_there() {
    // Given a source with a cache, that has had its token for forty seconds
    let fetched = Instant::now();
    tokio::time::sleep(40 * SECOND).await;
    let store = MemoryStore::default();
    let process = || {
        let source = move |_| async move {
            let response = TokenResponse::new("t")?.with_expires_in(100 * SECOND);
            Ok::<_, TokenError>(response.with_requested_at(fetched))
        };
        PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
            .token_url(TOKEN_URL)
            .route(Route::any(API, "read"))
            .token_source(service_fn(source))
            .shared_store(store.clone(), key(1))
            .build()
            .unwrap()
    };
    // When
    for _ in 0..2 {
        let auth = process();
        auth.prewarm().await.into_result().unwrap();
        // Then
        let status = auth.status();
        assert_eq!(status.tokens().next().unwrap().remaining(), Some(60 * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_server_reuses_tokens_one_process_asks_for_all_whether_there_is_a_newer() {
    // Given a server that gives the same token until its end
    let requests = |size: usize| async move {
        let tokens = TokenServer::default();
        tokens.turn(SECOND / 10, 200, reused(100));
        let store = MemoryStore::default();
        let fleet = fleet(size, &tokens, &store);
        call_all(&fleet).await;
        // When it is used for nearly all of its life
        for second in 1..95 {
            tokens.turn(SECOND / 10, 200, reused(100 - second));
            tokio::time::sleep(SECOND).await;
            call_all(&fleet).await;
        }
        tokens.requests()
    };
    let (alone, all) = (requests(1).await, requests(20).await);
    // Then they ask about as often as one would: each has a soft edge of its own
    assert!(alone >= 4, "{alone}");
    assert!(all <= 3 * alone, "{alone} of one, {all} of twenty");
}

fn reused(expires_in: u32) -> String {
    format!(r#"{{"access_token":"same","token_type":"Bearer","expires_in":{expires_in}}}"#)
}
