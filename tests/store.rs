//! Laws F1 to F4 over a store in memory, under paused time: what a fleet of layers costs its token
//! server, and what becomes of calls when the store fails. One layer stands for one process.

#![cfg(feature = "store")]

mod common;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use common::outcome;
use common::scripted::{API, SECOND, Scripted, TOKEN_URL, TokenServer, grant, kind, request};
use common::shared_store::{Health, MemoryStore};
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::store::{StoreKeys, StoreStatus};
use tower_partner_auth::{
    Builder, ClientCredentials, FetchOutcome, PartnerAuthLayer, ReplayBody, Route, Scope,
    TokenError, TokenErrorKind, TokenResponse,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const ATTEMPT: Duration = Duration::from_secs(10);

fn key(number: u8) -> StoreKeys {
    StoreKeys::new(&[number; 32])
}

/// A process of a fleet.
fn process(tokens: &TokenServer, store: &MemoryStore) -> Scripted {
    process_with(tokens, store, key(1), |builder| builder)
}

fn process_with(
    tokens: &TokenServer,
    store: &MemoryStore,
    keys: StoreKeys,
    configure: impl FnOnce(Builder) -> Builder,
) -> Scripted {
    Scripted::with(tokens.clone(), |builder| {
        configure(builder.token_retries(0).shared_store(store.clone(), keys))
    })
}

fn fleet(size: usize, tokens: &TokenServer, store: &MemoryStore) -> Vec<Scripted> {
    (0..size).map(|_| process(tokens, store)).collect()
}

/// One call of each, all at once: all succeed.
async fn call_all(fleet: &[Scripted]) {
    let mut calls = JoinSet::new();
    for process in fleet {
        let process = process.clone();
        calls.spawn(async move { process.call().await });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap(), 200);
    }
}

fn store_status(process: &Scripted) -> StoreStatus {
    *process.auth.status().store().expect("there is a store")
}

fn last_carried(process: &Scripted) -> String {
    process.carried().last().expect("a call").clone()
}

// === One fetch for all ===

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

// === Leases ===

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

// === Rejections ===

/// One call to an API that accepts this token only.
async fn call_api(process: &Scripted, accepted: &str) -> Response<()> {
    let accepted = format!("Bearer {accepted}");
    let api = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let good = request.headers()[AUTHORIZATION] == accepted.as_str();
        async move {
            let mut response = Response::new(());
            if !good {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok::<_, Infallible>(response)
        }
    });
    process.auth.layer(api).oneshot(request()).await.unwrap()
}

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

// === A store that fails ===

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

// === Keys ===

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
