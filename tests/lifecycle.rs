//! Laws T1, T3, T6, T8, T9, J3 and J4 over whole lives of tokens: renewals under load, outages, a route
//! that rejects every token, callers that give up.

mod common;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use common::scripted::{SECOND, Scripted, TokenServer, grant, request};
use common::*;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::timeout::error::Elapsed;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_partner_auth::{Error, ReplayBody};

const MILLISECOND: Duration = Duration::from_millis(1);

// === Renewals under load ===

#[tokio::test(start_paused = true)]
async fn two_second_tokens_are_renewed_under_load_and_nobody_waits() {
    // Given
    let slow = TokenServer::default().then_after(SECOND / 5, 200, grant(2));
    let calls = Scripted::new(slow);
    calls.call().await.unwrap();
    // When
    for number in 0..10_000 {
        tokio::time::sleep(MILLISECOND).await;
        let response = calls.send().await.unwrap();
        // Then
        assert!(outcome(&response).is_none(), "call {number} waited");
    }
    // A renewal is begun in the second half of a life.
    let requests = calls.tokens.requests();
    assert!((5..=11).contains(&requests), "{requests}");
}

#[tokio::test]
async fn two_second_tokens_are_renewed_under_load_over_real_connections() {
    // Given
    let rig = Rig::start().await;
    rig.sandbox.token_life(2 * SECOND);
    rig.sandbox.token_delay(SECOND / 5);
    let client = rig.auth.layer(hyper());
    let get = || client.clone().oneshot(rig.request(Method::GET, MERCHANT, ""));
    let begin = Instant::now();
    get().await.unwrap();
    // When
    let end = Instant::now() + 10 * SECOND;
    let mut calls = JoinSet::new();
    let mut responses = Vec::new();
    let mut ticks = tokio::time::interval(MILLISECOND);
    let mut longest_stall = Duration::ZERO;
    while Instant::now() < end {
        longest_stall = longest_stall.max(ticks.tick().await.elapsed());
        // A machine that is too slow for the load gets less of it.
        if calls.len() == 100 {
            responses.extend(calls.join_next().await);
        }
        calls.spawn(get());
    }
    while let Some(response) = calls.join_next().await {
        responses.push(response);
    }
    // Then
    let responses: Vec<_> = responses.into_iter().map(|call| call.unwrap().unwrap()).collect();
    assert!(responses.iter().all(|response| response.status() == StatusCode::OK));
    let possible = begin.elapsed().as_secs() + 1;
    let requests = rig.sandbox.token_requests();
    assert!(requests <= possible, "{requests} of {possible}");
    // Where a machine stands still for longer than a renewal takes, a token may run short.
    if longest_stall < SECOND / 5 {
        let noted = responses.iter().filter_map(outcome).count();
        assert_eq!(noted, 0, "none waited and none was rejected");
        assert_eq!(rig.sandbox.api_answers(StatusCode::UNAUTHORIZED), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_soft_renewal_lets_nobody_wait_and_a_failed_one_displaces_nothing() {
    let tokens = TokenServer::answering(grant(100)).then_after(5 * SECOND, 503, "").then_after(
        5 * SECOND,
        200,
        grant(100),
    );
    let calls = Scripted::with(tokens, |builder| builder.token_retries(0));
    calls.call().await.unwrap();
    tokio::time::sleep(65 * SECOND).await;
    let start = Instant::now();
    for _ in 0..10 {
        calls.call().await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(calls.tokens.requests(), 2, "one renewal, which failed");
    calls.call().await.unwrap();
    tokio::time::sleep(6 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 3);
    assert_eq!(calls.carried().last().unwrap(), "Bearer token-3");
}

#[tokio::test(start_paused = true)]
async fn windows_are_as_long_as_they_were_configured() {
    // Given a token of 1,000 seconds
    let tokens = TokenServer::answering(grant(1_000)).then(503, "").then_after(
        5 * SECOND,
        200,
        grant(1_000),
    );
    let calls = Scripted::with(tokens, |builder| {
        builder.token_retries(0).soft_window(100 * SECOND).hard_window(20 * SECOND)
    });
    calls.call().await.unwrap();
    let start = Instant::now();
    // When it is used before its soft window
    tokio::time::sleep(890 * SECOND).await;
    calls.call().await.unwrap();
    tokio::time::sleep(SECOND).await;
    // Then nobody has renewed it
    assert_eq!(calls.tokens.requests(), 1);
    // When the one renewal in the soft window fails
    tokio::time::sleep(84 * SECOND).await;
    calls.call().await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(calls.tokens.requests(), 2);
    // Then a call in the hard window waits for the next
    tokio::time::sleep(5 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 3);
    assert_eq!(start.elapsed(), 986 * SECOND, "five seconds of it in the last call");
}

#[tokio::test(start_paused = true)]
async fn in_the_hard_window_a_hanging_server_costs_no_call() {
    let hour = 3_600 * SECOND;
    let tokens = TokenServer::answering(grant(100)).then_after(hour, 200, grant(100));
    let calls = Scripted::new(tokens);
    calls.call().await.unwrap();
    tokio::time::sleep(92 * SECOND).await;
    let start = Instant::now();
    assert_eq!(calls.call().await.unwrap(), 200);
    assert!(start.elapsed() < 8 * SECOND, "it stopped waiting while its token lived");
    assert_eq!(calls.carried(), ["Bearer token-1"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_last_moments_of_a_token_gets_it_or_the_next() {
    for left in 1..200 {
        // Given
        let slow = TokenServer::default().then_after(SECOND / 5, 200, grant(2));
        let calls = Scripted::with(slow, |builder| builder.wait_limit(SECOND));
        let deadline = Instant::now() + 2 * SECOND;
        calls.call().await.unwrap();
        tokio::time::sleep_until(deadline - left * MILLISECOND).await;
        // When
        let called = calls.call().await;
        // Then
        assert_eq!(called.unwrap(), 200, "{left} ms before the end");
        assert_eq!(calls.tokens.requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_traffic_nothing_is_renewed() {
    let calls = Scripted::new(TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    tokio::time::sleep(10_000 * SECOND).await;
    assert_eq!(calls.tokens.requests(), 1);
}

// === Outages ===

/// The token server goes down in the middle of the soft window of a token of `life` seconds, and
/// comes back `after` its end. Down, it takes `delay` to answer 503.
async fn outage(life: u32, after: Duration, delay: Duration) {
    const LIMIT: Duration = Duration::from_secs(2);
    const ATTEMPT: Duration = Duration::from_secs(4);
    // Given
    let calls = Scripted::with(TokenServer::answering(grant(life)), |builder| {
        builder.wait_limit(LIMIT).token_timeout(3 * ATTEMPT).token_retries(0)
    });
    let deadline = Instant::now() + life * SECOND;
    calls.call().await.unwrap();
    tokio::time::sleep_until(deadline - life * SECOND / 4).await;
    // When
    calls.tokens.turn(delay, 503, "");
    // Then
    while Instant::now() < deadline {
        calls.call().await.expect("the token lives");
        tokio::time::sleep(100 * MILLISECOND).await;
    }
    let sent = calls.carried();
    assert!(sent.iter().all(|credential| credential == "Bearer token-1"));
    while Instant::now() < deadline + after {
        let start = Instant::now();
        let Err(Error::Token(error)) = calls.call().await else { panic!("a token error") };
        assert!(start.elapsed() <= LIMIT + MILLISECOND, "{:?}", start.elapsed());
        assert!(error.is_transient(), "{error}");
        tokio::time::sleep(100 * MILLISECOND).await;
    }
    assert_eq!(calls.carried().len(), sent.len(), "an expired token is never sent");

    // When
    calls.tokens.turn(Duration::ZERO, 200, grant(life));
    // Then
    let back = Instant::now();
    let failures = calls.tokens.requests() - 1;
    let down = back - (deadline - life * SECOND / 4);
    assert!(failures <= 10 + down.as_secs() as usize / 5, "{failures} requests in {down:?}");
    while calls.call().await.is_err() {
        tokio::time::sleep(100 * MILLISECOND).await;
    }
    let doublings = u32::try_from(failures - 1).unwrap().min(16);
    let backoff = (SECOND / 2).saturating_mul(1 << doublings).min(30 * SECOND);
    // A request that was under way with the dead server has to end first.
    let longest = backoff + delay.min(ATTEMPT) + 100 * MILLISECOND;
    assert!(back.elapsed() <= longest, "{:?} after {failures} failures", back.elapsed());
    for _ in 0..100 {
        calls.call().await.unwrap();
    }
    assert_eq!(calls.tokens.requests(), failures + 2, "one request mended it");
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_without_a_token_server_costs_no_call_before_the_tokens_end() {
    outage(7_200, 1_800 * SECOND, Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_hangs_costs_no_call_before_the_tokens_end() {
    outage(7_200, 1_800 * SECOND, 3_600 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_short_outage_the_back_off_is_short() {
    for _ in 0..100 {
        outage(4, SECOND / 10, Duration::ZERO).await;
    }
}

// === A route that always answers 401 ===

#[tokio::test]
async fn a_route_that_always_answers_401_costs_one_extra_fetch_and_troubles_no_other() {
    // Given
    let rig = Rig::start().await;
    rig.sandbox.token_delay(SECOND / 10);
    rig.sandbox.reject_always(Method::GET, MERCHANT_TEMPLATE);
    let client = rig.auth.layer(hyper());
    let post = || client.clone().oneshot(rig.request(Method::POST, MERCHANTS, ""));
    post().await.unwrap();
    // When
    let rejected = async {
        for _ in 0..1_000 {
            let request = rig.request(Method::GET, MERCHANT, "");
            let response = client.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        }
    };
    tokio::pin!(rejected);
    let mut others = Vec::new();
    loop {
        tokio::select! {
            () = &mut rejected => break,
            response = post() => others.push(response.unwrap()),
        }
    }
    // Then
    assert!(others.len() > 10, "the test tests something");
    for other in &others {
        assert_eq!(other.status(), StatusCode::OK);
        assert!(outcome(other).is_none(), "neither waited nor rejected");
    }
    assert_eq!(rig.sandbox.token_requests(), 2);
    assert_eq!(rig.sandbox.api_requests_for(Method::GET, MERCHANT_TEMPLATE), 1_001);
    assert_eq!(rig.sandbox.api_answers(StatusCode::UNAUTHORIZED), 1_001, "of that route alone");
}

// === Callers that give up ===

#[tokio::test(start_paused = true)]
async fn the_first_of_many_callers_may_give_up_and_the_rest_get_the_token() {
    // Given
    let calls = Scripted::new(TokenServer::default().then_after(5 * SECOND, 200, grant(100)));
    let first = tokio::spawn({
        let calls = calls.clone();
        async move { calls.call().await }
    });
    tokio::time::sleep(SECOND).await;
    let mut rest = JoinSet::new();
    for _ in 0..50 {
        let calls = calls.clone();
        rest.spawn(async move { calls.call().await.unwrap() });
    }
    tokio::time::sleep(SECOND).await;
    // When
    first.abort();
    // Then
    assert!(first.await.is_err(), "it gave up");
    assert_eq!(rest.join_all().await, [200; 50]);
    assert_eq!(calls.tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_the_callers_own_ends_its_call_and_not_the_fetch() {
    // Given
    let calls = Scripted::new(TokenServer::default().then_after(5 * SECOND, 200, grant(100)));
    let api = service_fn(async |_: Request<ReplayBody<Full<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(()))
    });
    let client = ServiceBuilder::new().timeout(SECOND).layer(calls.auth.clone()).service(api);
    // When
    let start = Instant::now();
    let error = client.oneshot(request()).await.unwrap_err();
    // Then
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!(start.elapsed().as_millis() / 10, 100, "at its deadline");

    // When
    tokio::time::sleep(5 * SECOND).await;
    let response = calls.send().await.unwrap();
    // Then
    assert!(outcome(&response).is_none(), "it did not wait");
    assert_eq!(calls.tokens.requests(), 1);
}
