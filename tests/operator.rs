//! The operator's calls: prewarm, keep warm, status, invalidate, set_credentials (laws T9, J3 and R2).

mod common;

use std::time::Duration;

use common::scripted::{SECOND, Scripted, TokenServer, grant};
use common::*;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::{
    ClientCredentials, Error, FetchOutcome, PartnerAuthLayer, ProblemKind, RequestAuth, Route,
    TokenErrorKind, TokenState, TokenStatus,
};

/// The scope of the scripted route.
const SCOPE: &str = "a b";

fn status(auth: &PartnerAuthLayer, of: &str) -> TokenStatus {
    auth.status().get(&scope(of)).expect("a scope of the layer").clone()
}

/// Lets all tasks run that need no time.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

// === prewarm ===

#[tokio::test]
async fn prewarming_fetches_every_scope_once_and_no_call_waits() {
    let rig = Rig::start().await;
    rig.auth.prewarm().await.into_result().unwrap();
    assert_eq!(rig.auth.status().tokens().count(), 12);
    assert_eq!(rig.sandbox.token_requests(), 12);
    rig.auth.prewarm().await.into_result().unwrap();
    let response = rig.get(MERCHANT).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(outcome(&response).is_none(), "it did not wait");
    assert_eq!(rig.sandbox.token_requests(), 12, "what is there is not fetched again");
}

#[tokio::test]
async fn prewarming_fetches_all_at_once() {
    let rig = Rig::start().await;
    rig.sandbox.token_delay(Duration::from_millis(100));
    let prewarm = tokio::spawn({
        let auth = rig.auth.clone();
        async move { auth.prewarm().await.into_result() }
    });
    rig.sandbox.until(|sandbox| sandbox.token_requests() == 12).await;
    assert!(rig.auth.status().tokens().any(|token| token.is_fetching()), "none waits for another");
    prewarm.await.unwrap().unwrap();
}

#[tokio::test]
async fn prewarming_reports_each_scope_and_a_bad_one_harms_no_other() {
    let rig = Rig::with(|builder| {
        builder.route(Route::new(Method::GET, "https://api.example.com/", "no_such_scope"))
    })
    .await;
    let prewarmed = rig.auth.prewarm().await;
    assert_eq!(prewarmed.results().count(), 13);
    let failures: Vec<_> = prewarmed.failures().collect();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].code(), Some("invalid_scope"));
    assert_eq!(failures[0].scope(), Some(&scope("no_such_scope")));
    let result = prewarmed.results().find(|(of, _)| **of == scope("refer_merchant"));
    assert!(result.unwrap().1.is_ok());
    assert_eq!(prewarmed.into_result().unwrap_err().code(), Some("invalid_scope"));
}

#[tokio::test]
async fn some_scopes_can_be_prewarmed_alone() {
    let rig = Rig::start().await;
    let some = [scope("refer_merchant"), scope("refer_merchant read_payment_links")];
    rig.auth.prewarm_scopes(some.clone()).await.into_result().unwrap();
    assert_eq!(rig.sandbox.token_requests(), 2);
    for scope in &some {
        assert_eq!(rig.sandbox.token_requests_for(scope), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn prewarming_waits_no_longer_than_the_wait_limit() {
    let tokens = TokenServer::default().then_after(5 * SECOND, 200, grant(100));
    let calls = Scripted::with(tokens, |builder| builder.wait_limit(2 * SECOND));
    let start = Instant::now();
    let error = calls.auth.prewarm().await.into_result().unwrap_err();
    assert_eq!(error.kind(), TokenErrorKind::WaitLimit);
    assert_eq!(start.elapsed().as_secs(), 2);
    tokio::time::sleep(4 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 1, "the fetch went on");
}

// === keep warm ===

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_warm_without_traffic_while_the_layer_lives() {
    let calls = Scripted::with(TokenServer::answering(grant(100)), |b| b.keep_warm());
    tokio::time::sleep(1_000 * SECOND).await;
    assert_eq!(calls.tokens.requests(), 0, "nothing is fetched that nobody asked for");
    calls.call().await.unwrap();
    for _ in 0..1_000 {
        tokio::time::sleep(SECOND).await;
        assert_eq!(status(&calls.auth, SCOPE).failures(), 0);
        assert!(status(&calls.auth, SCOPE).is_usable());
    }
    // A renewal between 50 s and 62.5 s after the one before.
    let requests = calls.tokens.requests();
    assert!((16..=21).contains(&requests), "{requests}");
    assert_eq!(tasks(), 1, "one task waits for the next renewal, however many there were");
    let tokens = calls.tokens.clone();
    drop(calls);
    settle().await;
    assert_eq!(tasks(), 0, "nothing runs after the last clone is dropped");
    assert_eq!(tokens.requests(), requests);
}

#[tokio::test(start_paused = true)]
async fn without_it_a_token_nobody_uses_is_let_go() {
    let calls = Scripted::new(TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    tokio::time::sleep(1_000 * SECOND).await;
    assert_eq!(calls.tokens.requests(), 1);
    assert_eq!(status(&calls.auth, SCOPE).state(), TokenState::Expired);
}

#[tokio::test(start_paused = true)]
async fn keeping_warm_outlives_failures_and_traffic() {
    let tokens = TokenServer::answering(grant(100)).then(503, "").then(503, "").then(503, "");
    let calls = Scripted::with(tokens.then(200, grant(100)), |b| b.keep_warm().token_retries(0));
    for _ in 0..30 {
        calls.call().await.unwrap();
        tokio::time::sleep(10 * SECOND).await;
    }
    assert!(calls.carried().iter().all(|token| token != "Bearer token-2"), "it had failed");
    let requests = calls.tokens.requests();
    tokio::time::sleep(100 * SECOND).await;
    let more = calls.tokens.requests() - requests;
    assert!((1..=2).contains(&more), "one chain of renewals, not one a call: {more}");
}

#[tokio::test(start_paused = true)]
async fn what_requests_chose_is_not_kept_warm() {
    let tokens = TokenServer::answering(grant(100));
    let calls = Scripted::with(tokens, |builder| builder.keep_warm());
    calls.auth.prewarm_scopes([scope("c")]).await.into_result().unwrap();
    tokio::time::sleep(1_000 * SECOND).await;
    assert_eq!(calls.tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_probed_for_ever_at_the_pace_of_callers() {
    let refusal = r#"{"error":"invalid_client"}"#;
    let tokens = TokenServer::answering(grant(100)).then(401, refusal);
    let calls = Scripted::with(tokens, |builder| builder.keep_warm());
    calls.call().await.unwrap();
    tokio::time::sleep(3_600 * SECOND).await;
    let probes = calls.tokens.requests() - 1;
    assert!((12..=35).contains(&probes), "{probes} in an hour");
    // A call is not told of what was minutes ago. A probe is remembered for some seconds: wait for one
    // and past that, as its time is drawn by lot.
    while calls.tokens.requests() - 1 == probes {
        tokio::time::sleep(SECOND).await;
    }
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(calls.tokens.requests() - 1, probes + 1);
    assert!(calls.call().await.is_err());
    assert_eq!(calls.tokens.requests() - 1, probes + 2);
}

#[tokio::test(start_paused = true)]
async fn a_chosen_scope_that_nobody_uses_is_let_go() {
    let calls = Scripted::new(TokenServer::answering(grant(100)));
    calls.auth.prewarm_scopes([scope("c")]).await.into_result().unwrap();
    calls.auth.prewarm_scopes([scope("d")]).await.into_result().unwrap();
    assert_eq!(calls.auth.status().tokens().count(), 3, "c lives yet");
    tokio::time::sleep(101 * SECOND).await;
    calls.auth.prewarm_scopes([scope("e")]).await.into_result().unwrap();
    let status = calls.auth.status();
    let scopes: Vec<_> = status.tokens().map(|token| token.scope().as_str()).collect();
    assert_eq!(scopes, [SCOPE, "e"]);
}

// === status ===

#[tokio::test(start_paused = true)]
async fn the_status_follows_a_tokens_life() {
    let tokens = TokenServer::answering(grant(100)).then(503, "");
    let calls = Scripted::with(tokens, |builder| builder.token_retries(0));

    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.state(), token.generation()), (TokenState::Absent, 0));
    assert!(token.last_fetch().is_none());
    assert_eq!(token.next_attempt(), Some(Duration::ZERO), "the first call fetches");

    calls.call().await.unwrap();
    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.state(), token.generation()), (TokenState::Fresh, 1));
    assert_eq!(token.remaining(), Some(100 * SECOND));
    let soft = token.next_attempt().unwrap();
    assert!((50 * SECOND..=Duration::from_millis(62_500)).contains(&soft), "{soft:?}");

    tokio::time::sleep(65 * SECOND).await;
    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.state(), token.remaining()), (TokenState::Soft, Some(35 * SECOND)));
    assert_eq!(token.next_attempt(), Some(Duration::ZERO));
    let last = token.last_fetch().unwrap();
    assert!(matches!(last.outcome(), FetchOutcome::Fetched));
    assert_eq!(last.age(), 65 * SECOND);

    calls.call().await.unwrap();
    assert!(status(&calls.auth, SCOPE).is_fetching(), "a renewal behind");
    settle().await;
    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.state(), token.failures()), (TokenState::Soft, 1));
    assert!(token.is_usable());
    assert!(matches!(
        token.last_fetch().unwrap().outcome(),
        FetchOutcome::Failed(error) if error.kind() == TokenErrorKind::Status
    ));
    assert!(token.next_attempt().unwrap() <= SECOND / 2, "the first back-off");

    tokio::time::sleep(25 * SECOND).await;
    assert_eq!(status(&calls.auth, SCOPE).state(), TokenState::Hard);
    tokio::time::sleep(10 * SECOND).await;
    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.state(), token.remaining()), (TokenState::Expired, Some(Duration::ZERO)));
    assert!(!token.is_usable());
    assert_eq!(calls.tokens.requests(), 2, "looking costs no request");
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_those_who_wait() {
    let calls = Scripted::new(TokenServer::default().then_after(5 * SECOND, 200, grant(100)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let calls = calls.clone();
        tasks.spawn(async move { calls.call().await });
    }
    settle().await;
    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.is_fetching(), token.waiting()), (true, 3));
    assert_eq!(token.next_attempt(), None);
    tasks.join_all().await;
    assert_eq!(status(&calls.auth, SCOPE).waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_status_serialises_without_secrets() {
    let tokens = TokenServer::answering(grant(100))
        .then(401, r#"{"error":"invalid_client","error_description":"s3cret&=+ token-1"}"#);
    let calls = Scripted::new(tokens);
    calls.call().await.unwrap();
    tokio::time::sleep(75 * SECOND).await;
    calls.call().await.unwrap();
    settle().await;
    let json = serde_json::to_value(calls.auth.status()).unwrap();
    let expected = json!({ "tokens": [{
        "scope": "a b",
        "state": "soft",
        "remaining_seconds": 25.0,
        "generation": 1,
        "fetching": false,
        "waiting": 0,
        "last_fetch": {
            "age_seconds": 0.0,
            "outcome": "failed",
            "error": {
                "kind": "error_response",
                "code": "invalid_client",
                "status": 401,
                "transient": false,
                "retry_after_seconds": Value::Null,
                "message": json["tokens"][0]["last_fetch"]["error"]["message"],
            },
        },
        "failures": 1,
        "evictions": 0,
        "next_attempt_seconds": 5.0,
        "cooling_seconds": 5.0,
    }] });
    assert_eq!(json, expected);
    let text = format!("{json} {:?}", calls.auth.status());
    assert!(!text.contains("s3cret") && !text.contains("token-1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_back_the_same_is_seen_as_such() {
    let same = r#"{"access_token":"t","token_type":"Bearer","expires_in":100}"#;
    let calls = Scripted::new(TokenServer::answering(same));
    calls.call().await.unwrap();
    tokio::time::sleep(70 * SECOND).await;
    calls.call().await.unwrap();
    settle().await;
    let token = status(&calls.auth, SCOPE);
    assert!(matches!(token.last_fetch().unwrap().outcome(), FetchOutcome::SameToken));
    assert_eq!(token.generation(), 1);
    assert_eq!(token.next_attempt(), Some(10 * SECOND), "half way to the hard edge");
    assert_eq!(token.cooling(), Some(10 * SECOND));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(status(&calls.auth, SCOPE).cooling(), None);
}

// === evictions ===

#[tokio::test]
async fn clients_that_evict_each_other_are_told_so() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.revoke_previous(true);
    let auth = layer(&sandbox, |builder| builder);
    let other = layer(&sandbox, |builder| builder);
    let rig = Rig { sandbox, auth };
    for round in 0..5 {
        assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
        assert_eq!(status(&rig.auth, "refer_merchant").evictions(), round);
        let rig = Rig { sandbox: rig.sandbox.clone(), auth: other.clone() };
        assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
        assert_eq!(status(&rig.auth, "refer_merchant").evictions(), round);
    }
    assert_eq!(rig.sandbox.token_requests(), 10, "the first of each, and one a rejection");
}

#[tokio::test]
async fn evictions_are_counted_in_a_row_and_only_when_the_next_token_is_accepted() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    for evictions in 1..=2 {
        rig.sandbox.revoke_all();
        assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
        assert_eq!(status(&rig.auth, "refer_merchant").evictions(), evictions);
    }
    rig.sandbox.reject_always(Method::GET, MERCHANT_TEMPLATE);
    rig.get(MERCHANT).await;
    assert_eq!(status(&rig.auth, "refer_merchant").generation(), 4, "a renewal in vain");
    assert_eq!(status(&rig.auth, "refer_merchant").evictions(), 2, "it proves nothing");
    rig.sandbox.stop_rejecting(Method::GET, MERCHANT_TEMPLATE);
    rig.auth.invalidate_all();
    assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
    assert_eq!(
        status(&rig.auth, "refer_merchant").evictions(),
        0,
        "the API had no part in this one"
    );
}

// === invalidate ===

#[tokio::test]
async fn an_invalidated_token_is_not_used_again_and_others_stay() {
    let rig = Rig::start().await;
    rig.auth.prewarm().await.into_result().unwrap();
    let before = rig.sandbox.token_requests();
    rig.auth.invalidate(&scope("refer_merchant"));
    rig.auth.invalidate(&scope("unheard of"));
    assert_eq!(status(&rig.auth, "refer_merchant").state(), TokenState::Absent);
    let response = rig.get(MERCHANT).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(outcome(&response).unwrap().waited_for_token());
    assert_eq!(status(&rig.auth, "refer_merchant").generation(), 2);
    rig.auth.prewarm().await.into_result().unwrap();
    assert_eq!(rig.sandbox.token_requests(), before + 1);

    rig.auth.invalidate_all();
    rig.auth.prewarm().await.into_result().unwrap();
    assert_eq!(rig.sandbox.token_requests(), before + 1 + 12);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_before_the_invalidation_is_not_used_after_it() {
    let calls = Scripted::new(TokenServer::default().then_after(5 * SECOND, 200, grant(100)));
    let early = tokio::spawn({
        let calls = calls.clone();
        async move { calls.call().await }
    });
    tokio::time::sleep(2 * SECOND).await;
    calls.auth.invalidate(&scope(SCOPE));
    let late = calls.call();
    let (early, late) = tokio::join!(early, late);
    assert_eq!((early.unwrap().unwrap(), late.unwrap()), (200, 200));
    assert_eq!(calls.carried(), ["Bearer token-2"; 2]);
    assert_eq!(calls.tokens.requests(), 2, "one after the other, for all who wait");
    assert_eq!(status(&calls.auth, SCOPE).generation(), 1, "the first never was one");
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_token_that_is_kept_warm_is_fetched_at_once() {
    let calls = Scripted::with(TokenServer::answering(grant(100)), |b| b.keep_warm());
    calls.call().await.unwrap();
    calls.auth.invalidate_all();
    settle().await;
    let token = status(&calls.auth, SCOPE);
    assert_eq!((token.state(), token.generation()), (TokenState::Fresh, 2));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_forgets_a_refusal_but_not_a_wish_for_rest() {
    let refusing = TokenServer::default().then(400, r#"{"error":"invalid_scope"}"#);
    let calls = Scripted::new(refusing.then(200, grant(100)));
    assert!(calls.call().await.is_err());
    calls.auth.invalidate_all();
    assert_eq!(calls.call().await.unwrap(), 200, "the partner has enabled the scope");

    let tired = TokenServer::default().then(429, r#"{"retry_after":60}"#);
    let calls = Scripted::new(tired.then(200, grant(100)));
    assert!(calls.call().await.is_err());
    calls.auth.invalidate_all();
    assert!(calls.call().await.is_err());
    assert_eq!(calls.tokens.requests(), 1);
}

// === set_credentials ===

#[tokio::test(start_paused = true)]
async fn new_credentials_are_checked() {
    let calls = Scripted::new(TokenServer::answering(grant(100)));
    let error = calls.auth.set_credentials(ClientCredentials::new("my client", "")).unwrap_err();
    assert_eq!(error.problems()[0].kind(), ProblemKind::Credentials);
    calls.call().await.unwrap();
    assert!(calls.tokens.forms()[0].contains("s3cret"), "the old ones stay");
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_is_for_the_next_fetch_and_the_token_stays() {
    let calls = Scripted::new(TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    calls.auth.clone().set_credentials(ClientCredentials::new("my client", "new")).unwrap();
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 1);
    tokio::time::sleep(101 * SECOND).await;
    calls.call().await.unwrap();
    assert!(calls.tokens.forms()[1].contains("client_id=my+client&client_secret=new&"));
}

#[tokio::test(start_paused = true)]
async fn another_client_has_tokens_of_its_own() {
    let calls = Scripted::new(TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    calls.auth.set_credentials(ClientCredentials::new("other", "new")).unwrap();
    calls.call().await.unwrap();
    assert_eq!(calls.carried(), ["Bearer token-1", "Bearer token-2"]);
    assert!(calls.tokens.forms()[1].contains("client_id=other&client_secret=new&"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_old_secret_says_nothing_of_the_new_one() {
    // Given: refused, and remembered.
    let refusal = r#"{"error":"invalid_client"}"#;
    let tokens = TokenServer::default().then(401, refusal);
    let calls = Scripted::new(tokens.then_after(2 * SECOND, 401, refusal).then(200, grant(100)));
    let Err(Error::Token(error)) = calls.call().await else { panic!("a token error") };
    assert_eq!(error.code(), Some("invalid_client"));
    // When: a second one is under way that will be refused as well, and the secret changes again.
    calls.auth.set_credentials(ClientCredentials::new("my client", "second")).unwrap();
    let call = tokio::spawn({
        let calls = calls.clone();
        async move { calls.call().await }
    });
    tokio::time::sleep(SECOND).await;
    calls.auth.set_credentials(ClientCredentials::new("my client", "third")).unwrap();
    // Then
    assert_eq!(call.await.unwrap().unwrap(), 200);
    let secrets = ["s3cret", "second", "third"];
    assert_eq!(calls.tokens.requests(), secrets.len());
    for (form, secret) in calls.tokens.forms().iter().zip(secrets) {
        assert!(form.contains(secret), "{form}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_old_secret_still_brought_is_used() {
    let calls = Scripted::new(TokenServer::default().then_after(2 * SECOND, 200, grant(100)));
    let call = tokio::spawn({
        let calls = calls.clone();
        async move { calls.call().await }
    });
    tokio::time::sleep(SECOND).await;
    calls.auth.set_credentials(ClientCredentials::new("my client", "new")).unwrap();
    assert_eq!(call.await.unwrap().unwrap(), 200);
    assert_eq!(calls.tokens.requests(), 1);
}

#[tokio::test]
async fn a_status_lists_the_scopes_that_requests_chose() {
    let rig = Rig::start().await;
    let mut request = rig.request(Method::GET, MERCHANT, "");
    request
        .extensions_mut()
        .insert(RequestAuth::scope("refer_merchant read_payment_links").unwrap());
    assert_eq!(rig.send(request).await.unwrap().status(), StatusCode::OK);
    let chosen = scope("refer_merchant read_payment_links");
    assert_eq!(rig.auth.status().get(&chosen).unwrap().state(), TokenState::Fresh);
    assert_eq!(rig.auth.status().tokens().count(), 13);
}
