//! Two secrets that overlap, and a secret that is changed under a service that goes on, counted at the
//! server.

mod common;

use std::error::Error as _;
use std::time::Duration;

use common::scratch::Scratch;
use common::scripted::SECOND;
use common::*;
use http::StatusCode;
use tower_partner_auth::sandbox::{Answer, Sandbox};
use tower_partner_auth::{
    ClientCredentials, PartnerAuthLayer, Secret, SecretError, SecretErrorKind, TokenError,
    TokenErrorKind,
};

#[track_caller]
fn secret_error(error: &TokenError) -> &SecretError {
    error.source().and_then(|source| source.downcast_ref()).expect("a secret error")
}

/// A sandbox whose client has these secrets, and a layer that asks it with those.
async fn overlapping(accepted: &[&str], credentials: ClientCredentials) -> Rig {
    let known = ClientCredentials::new(credentials.client_id(), "any");
    let sandbox = Sandbox::builder().client(known, "refer_merchant").start().await.unwrap();
    sandbox.accept_secrets(credentials.client_id(), accepted.iter().copied());
    let builder =
        PartnerAuthLayer::builder(credentials).environment(sandbox.environment()).token_retries(0);
    let auth = builder.build().unwrap();
    Rig { sandbox, auth }
}

/// One fetch; how many of its requests were refused, and how many granted.
async fn fetch(rig: &Rig) -> (u64, u64) {
    let counts = || {
        let of = |status| rig.sandbox.token_answers(status);
        (of(StatusCode::UNAUTHORIZED), of(StatusCode::OK))
    };
    let before = counts();
    rig.auth.invalidate_all();
    let _ = rig.auth.prewarm_scopes([scope("refer_merchant")]).await;
    let after = counts();
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn of_two_secrets_the_one_that_works_is_found_and_remembered() {
    // Given
    let credentials = ClientCredentials::new("reader", "old").or_secret("new");
    let rig = overlapping(&["old"], credentials).await;
    assert_eq!(fetch(&rig).await, (0, 1));
    // When the server has both
    rig.sandbox.accept_secrets("reader", ["old", "new"]);
    assert_eq!(fetch(&rig).await, (0, 1));
    // When the old one has ended
    rig.sandbox.accept_secrets("reader", ["new"]);
    // Then
    assert_eq!(fetch(&rig).await, (1, 1), "both are tried once");
    assert_eq!(fetch(&rig).await, (0, 1), "and then it is known");
    // When it was a mistake
    rig.sandbox.accept_secrets("reader", ["old"]);
    assert_eq!(fetch(&rig).await, (1, 1));
    assert_eq!(fetch(&rig).await, (0, 1));
}

#[tokio::test]
async fn which_secret_works_is_known_to_all_clones_of_the_credentials() {
    let credentials = ClientCredentials::new("reader", "old").or_secret("new");
    let rig = overlapping(&["new"], credentials.clone()).await;
    assert_eq!(fetch(&rig).await, (1, 1));
    assert_eq!(&*credentials.client_secret().await.unwrap(), "new");
    let builder = PartnerAuthLayer::builder(credentials).environment(rig.sandbox.environment());
    let other = Rig { sandbox: rig.sandbox.clone(), auth: builder.build().unwrap() };
    assert_eq!(fetch(&other).await, (0, 1));
}

#[tokio::test]
async fn when_neither_secret_is_good_each_was_tried_once() {
    let credentials = ClientCredentials::new("reader", "old").or_secret("new");
    let rig = overlapping(&["another"], credentials).await;
    assert_eq!(fetch(&rig).await, (2, 0));
    let error = rig.auth.prewarm_scopes([scope("refer_merchant")]).await.into_result().unwrap_err();
    assert_eq!(error.code(), Some("invalid_client"));
    assert!(error.source().is_none());
    assert_eq!(rig.sandbox.token_requests(), 2, "it is remembered for a while");
    assert_eq!(fetch(&rig).await, (2, 0));
}

#[tokio::test]
async fn a_refused_secret_is_not_sent_again_by_a_retry() {
    // Given
    let credentials = ClientCredentials::new("reader", "old").or_secret("new");
    let Rig { sandbox, .. } = overlapping(&["new"], credentials.clone()).await;
    let builder = PartnerAuthLayer::builder(credentials).environment(sandbox.environment());
    let auth = builder.token_retries(1).build().unwrap();
    // When the first is refused, and the other meets a failure
    let refusal = Answer::json(401, r#"{"error":"invalid_client"}"#);
    sandbox.script_token([refusal, Answer::status(503)]);
    auth.prewarm_scopes([scope("refer_merchant")]).await.into_result().unwrap();
    // Then it is the other's turn again
    assert_eq!(sandbox.token_requests(), 3);
    assert_eq!(sandbox.token_answers(StatusCode::UNAUTHORIZED), 1);
}

#[tokio::test]
async fn a_secret_that_may_be_there_soon_makes_a_refusal_of_the_other_transient() {
    // Given
    let soon = || TokenError::new(TokenErrorKind::TimedOut);
    let vault = Secret::from_fn(move || async move { Err::<String, _>(soon()) });
    let credentials = ClientCredentials::new("reader", vault).or_secret("old");
    let rig = overlapping(&["new"], credentials).await;
    // When
    let prewarmed = rig.auth.prewarm_scopes([scope("refer_merchant")]).await;
    // Then
    let error = prewarmed.into_result().unwrap_err();
    assert_eq!(error.kind(), TokenErrorKind::TimedOut);
    assert!(error.is_transient());
    assert_eq!(rig.sandbox.token_answers(StatusCode::UNAUTHORIZED), 1);
}

#[tokio::test]
async fn another_failure_is_no_reason_to_try_the_other_secret() {
    for answer in [
        Answer::json(400, r#"{"error":"invalid_scope"}"#),
        Answer::json(400, r#"{"error":"unauthorized_client"}"#),
        Answer::status(401),
        Answer::status(503),
        Answer::reset(),
        // It is asked for rest.
        Answer::json(401, r#"{"error":"invalid_client","retry_after":60}"#),
        Answer::json(401, r#"{"error":"rate_limit_exceeded"}"#),
    ] {
        let credentials = ClientCredentials::new("reader", "old").or_secret("new");
        let rig = overlapping(&["new"], credentials).await;
        let name = format!("{answer:?}");
        rig.sandbox.script_token([answer]);
        let prewarmed = rig.auth.prewarm_scopes([scope("refer_merchant")]).await;
        prewarmed.into_result().expect_err("the scripted failure");
        assert_eq!(rig.sandbox.token_requests(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_secret_that_is_still_to_come_is_no_error_until_it_is_needed() {
    // Given
    let next = Scratch::new();
    let credentials = ClientCredentials::new("reader", "old").or_secret(Secret::file(next.path()));
    let rig = overlapping(&["old"], credentials).await;
    assert_eq!(fetch(&rig).await, (0, 1));
    // When the old one ends before the new one is there
    rig.sandbox.accept_secrets("reader", ["new"]);
    // Then the error is the server's, and tells of the file as well.
    rig.auth.invalidate_all();
    let prewarmed = rig.auth.prewarm_scopes([scope("refer_merchant")]).await;
    let error = prewarmed.into_result().unwrap_err();
    assert_eq!(error.code(), Some("invalid_client"));
    assert_eq!(secret_error(&error).kind(), SecretErrorKind::NotFound);
    assert!(all_forms(&error).contains("the-file"));
    // When it has come
    next.replace("new\n");
    assert_eq!(fetch(&rig).await, (0, 1), "not with the refused one again");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_any_more_gives_way_to_the_other() {
    // Given
    let (first, second) = (Scratch::with("old"), Scratch::with("new"));
    let credentials = ClientCredentials::new("reader", Secret::file(first.path()))
        .or_secret(Secret::file(second.path()));
    let rig = overlapping(&["old", "new"], credentials.clone()).await;
    assert_eq!(fetch(&rig).await, (0, 1));
    // When
    std::fs::remove_file(first.path()).unwrap();
    // Then
    assert_eq!(fetch(&rig).await, (0, 1), "the other, and no request with nothing");
    assert_eq!(&*credentials.client_secret().await.unwrap(), "new");
    // When
    std::fs::write(second.path(), "").unwrap();
    rig.auth.invalidate_all();
    let prewarmed = rig.auth.prewarm_scopes([scope("refer_merchant")]).await;
    // Then the error is of the one that is tried first: it is the one that worked last.
    let error = prewarmed.into_result().unwrap_err();
    assert_eq!(error.kind(), TokenErrorKind::Secret);
    assert_eq!(secret_error(&error).kind(), SecretErrorKind::Empty);
}

// === a service that goes on meanwhile ===

/// Lets the tokens grow older, and nothing else: no timeout is near while bytes are under way.
async fn age(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn calls_go_on_while_the_secret_is_changed_at_the_server_and_then_in_the_file() {
    // Given
    let file = Scratch::with("old");
    let credentials = ClientCredentials::new("reader", Secret::file(file.path()));
    let rig = overlapping(&["old"], credentials).await;
    rig.sandbox.token_life(120 * SECOND);
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    // When the server has another, and the token is to be renewed
    rig.sandbox.accept_secrets("reader", ["new"]);
    age(100 * SECOND).await;
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    rig.sandbox.until(|at| at.token_answers(StatusCode::UNAUTHORIZED) == 1).await;
    // Then
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    assert_eq!(rig.sandbox.token_requests(), 2, "the refusal is remembered for a while");
    // When the file follows
    file.replace("new\n");
    age(6 * SECOND).await;
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    rig.sandbox.until(|at| at.token_answers(StatusCode::OK) == 2).await;
    // Then, past the end of the first token
    age(30 * SECOND).await;
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    assert_eq!(rig.sandbox.token_requests(), 3);
    assert_eq!(rig.sandbox.api_answers(StatusCode::OK), 100);
    assert_eq!(rig.sandbox.api_requests(), 100, "no replay");
}

#[tokio::test]
async fn with_both_secrets_the_change_at_the_server_is_enough() {
    // Given
    let next = Scratch::new();
    let credentials = ClientCredentials::new("reader", "old").or_secret(Secret::file(next.path()));
    let rig = overlapping(&["old"], credentials).await;
    rig.sandbox.token_life(120 * SECOND);
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    // When
    next.replace("new\n");
    rig.sandbox.accept_secrets("reader", ["new"]);
    age(100 * SECOND).await;
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    rig.sandbox.until(|at| at.token_answers(StatusCode::OK) == 2).await;
    // Then
    let failures: u32 = rig.auth.status().tokens().map(|token| token.failures()).sum();
    assert_eq!(failures, 0, "no fetch failed");
    assert_eq!(rig.sandbox.token_answers(StatusCode::UNAUTHORIZED), 1);
    // When it is renewed again
    age(100 * SECOND).await;
    assert_eq!(rig.herd(20, MERCHANT).await, [StatusCode::OK; 20]);
    rig.sandbox.until(|at| at.token_answers(StatusCode::OK) == 3).await;
    // Then
    assert_eq!(rig.sandbox.token_answers(StatusCode::UNAUTHORIZED), 1);
    assert_eq!(rig.sandbox.api_answers(StatusCode::OK), 60);
}
