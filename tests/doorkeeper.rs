//! The layer against a real Doorkeeper, counted at the server. It needs Ruby, so it is asked for:
//!
//! ```text
//! apt-get install --no-install-recommends ruby-doorkeeper ruby-activerecord puma ruby-sqlite3
//! cargo test --test doorkeeper -- --ignored
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use tower_partner_auth::partner::USE_CASES;
use tower_partner_auth::{ClientAuthentication, RequestAuth, Scope, TokenErrorKind};

#[path = "doorkeeper/server.rs"]
mod server;

use server::{Answered, Body, CallError, Doorkeeper};

/// A use case of scope [`READ`].
const LINKS: &str = "/payment-links";
const READ: &str = "read_payment_links";

fn request(server: &Doorkeeper, method: Method, path: &str, body: Bytes) -> Request<Body> {
    let uri = format!("{}{path}", server.origin());
    Request::builder().method(method).uri(uri).body(body.into()).unwrap()
}

fn get(server: &Doorkeeper, path: &str) -> Request<Body> {
    request(server, Method::GET, path, Bytes::new())
}

fn with_scope(mut request: Request<Body>, scope: &str) -> Request<Body> {
    request.extensions_mut().insert(RequestAuth::scope(scope).unwrap());
    request
}

/// The path of a template, with something in place of every parameter.
fn path_of(template: &str) -> String {
    let segment =
        |part: &str| if part.starts_with('{') { "p7".to_owned() } else { part.to_owned() };
    template.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[track_caller]
fn assert_ok(answers: &[Result<Answered, CallError>]) {
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!(answer.status, StatusCode::OK, "call {number}"),
            Err(error) => panic!("call {number}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn every_use_case_is_authorised_with_one_token_per_scope_set() {
    // Given
    let server = Doorkeeper::start(&[]);
    let client = server.client();
    // When
    for row in USE_CASES {
        let path = path_of(row.path);
        let body = Bytes::from_static(b"{}");
        let answer = client.send(request(&server, row.method.clone(), &path, body)).await.unwrap();
        assert!(answer.status.as_u16() < 400, "{} {path}: {}", row.method, answer.status);
        assert!(!answer.outcome.replayed(), "{} {path}", row.method);
    }
    // Then
    let counts = server.counts().await;
    let scopes = USE_CASES.iter().map(|row| Scope::parse(row.scope).unwrap().to_string());
    let once_each: BTreeMap<_, _> = scopes.map(|scope| (scope, 1)).collect();
    assert_eq!(counts.token_requests_by_scope, once_each);
    assert_eq!(counts.api_requests, USE_CASES.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn tokens_are_renewed_before_they_expire_and_after_an_idle_time() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_LIFE", "2")]);
    let client = server.client();
    // When
    let begin = Instant::now();
    let mut answers = Vec::new();
    while begin.elapsed() < Duration::from_millis(4_800) {
        answers.push(client.send(get(&server, LINKS)).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Then
    assert_ok(&answers);
    let counts = server.counts().await;
    let calls = answers.len();
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, calls)]), "the API rejected no token");
    // A renewal is begun in the second half of a life: no more than one a second.
    assert!((3..=6).contains(&counts.token_requests), "{counts:?}");

    // When
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let late = client.send(get(&server, LINKS)).await.unwrap();
    // Then
    assert_eq!(late.status, StatusCode::OK);
    assert!(late.outcome.waited_for_token() && !late.outcome.replayed(), "{:?}", late.outcome);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_revocation_costs_one_token_request_however_many_calls_it_meets() {
    // Given
    let server = Doorkeeper::start(&[]);
    let client = server.client();
    assert_ok(&[client.send(get(&server, LINKS)).await]);
    // When
    server.revoke_all().await;
    let answers = client.send_at_once(50, &get(&server, LINKS)).await;
    // Then
    assert_ok(&answers);
    for answer in answers.iter().flatten() {
        assert!(answer.outcome.replayed(), "{:?}", answer.outcome);
        assert!(answer.outcome.rejection().is_none(), "{:?}", answer.outcome);
    }
    let counts = server.counts().await;
    assert_eq!(counts.token_requests, 2);
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, 51), (401, 50)]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_token_that_lacks_the_scope_is_answered_by_the_api_and_not_renewed() {
    // Given
    let server = Doorkeeper::start(&[]);
    let client = server.client();
    for _ in 0..3 {
        // When
        let request = with_scope(get(&server, LINKS), "create_payment_links");
        let answer = client.send(request).await.unwrap();
        // Then
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!answer.outcome.replayed(), "{:?}", answer.outcome);
    }
    let counts = server.counts().await;
    assert_eq!(counts.token_requests, 1);
    assert_eq!(counts.api_statuses, BTreeMap::from([(403, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_wrong_secret_is_named_without_being_told() {
    // Given
    let secret = "wr0ng-s3cret";
    let server = Doorkeeper::start(&[]);
    let client = server.client_with_secret(secret);
    for _ in 0..3 {
        // When
        let error = client.send(get(&server, LINKS)).await.err().expect("no token");
        // Then
        let token_error = error.as_token_error().expect("a token error");
        assert_eq!(token_error.kind(), TokenErrorKind::ErrorResponse);
        assert_eq!(token_error.code(), Some("invalid_client"));
        assert_eq!(token_error.status(), Some(StatusCode::UNAUTHORIZED));
        assert!(!token_error.is_transient());
        assert!(error.to_string().contains("invalid_client"), "{error}");
        assert!(!all_forms(&error).contains(secret), "{error}");
    }
    let counts = server.counts().await;
    assert_eq!(counts.token_statuses, BTreeMap::from([(401, 1)]), "it is remembered for a while");
    assert_eq!(counts.api_requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn credentials_in_the_header_are_taken_as_they_are() {
    // Given a secret that a form would encode
    let server = Doorkeeper::start(&[]);
    let status = async |authentication| {
        let client = server.client_that(authentication);
        let answer = client.send(get(&server, LINKS)).await;
        answer.map(|answered| answered.status).map_err(|error| {
            error.as_token_error().and_then(|error| error.code()).map(str::to_owned)
        })
    };
    // Then
    let invalid = Err(Some("invalid_client".to_owned()));
    assert_eq!(status(ClientAuthentication::BasicUnencoded).await, Ok(StatusCode::OK));
    assert_eq!(status(ClientAuthentication::Basic).await, invalid, "it decodes nothing");
    let counts = server.counts().await;
    assert_eq!(counts.token_statuses, BTreeMap::from([(200, 1), (401, 1)]));
}

/// Whatever a log could show of an error.
fn all_forms(error: &CallError) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        text.push_str(&format!("{error} {error:?} {error:#?}\n"));
        next = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn an_unknown_scope_fails_alone() {
    // Given
    let server = Doorkeeper::start(&[]);
    let client = server.client();
    // When
    let request = with_scope(get(&server, LINKS), "no_such_scope");
    let error = client.send(request).await.err().expect("no token");
    // Then
    let token_error = error.as_token_error().expect("a token error");
    assert_eq!(token_error.code(), Some("invalid_scope"));
    assert_eq!(token_error.scope().map(Scope::as_str), Some("no_such_scope"));
    assert_eq!(server.counts().await.api_requests, 0);

    // When
    let answer = client.send(get(&server, LINKS)).await;
    // Then
    assert_ok(&[answer]);
    let counts = server.counts().await;
    assert_eq!(counts.token_requests_by_scope.get("no_such_scope"), Some(&1));
    assert_eq!(counts.token_requests_by_scope.get(READ), Some(&1));
    assert_eq!(counts.api_requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn clients_that_are_given_one_token_live_through_its_revocation() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_REUSE", "1")]);
    let clients = [server.client(), server.client()];
    for client in &clients {
        assert_ok(&[client.send(get(&server, LINKS)).await]);
    }
    let old = clients[0].last_presented();
    assert!(old == clients[1].last_presented(), "the server gave both the same token");
    // When
    server.revoke_all().await;
    for client in &clients {
        let answer = client.send(get(&server, LINKS)).await;
        // Then
        assert!(answer.as_ref().is_ok_and(|answer| answer.outcome.replayed()));
        assert_ok(&[answer]);
    }
    let new = clients[0].last_presented();
    assert!(new != old, "a new token");
    assert!(new == clients[1].last_presented(), "the same for both again");
    let counts = server.counts().await;
    assert_eq!(counts.token_requests, 4);
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, 4), (401, 2)]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn clients_that_revoke_each_others_tokens_all_get_through() {
    const ROUNDS: usize = 10;
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_REVOKE_PREVIOUS", "1")]);
    let clients = [server.client(), server.client()];
    // When
    for _ in 0..ROUNDS {
        for client in &clients {
            // Then
            assert_ok(&[client.send(get(&server, LINKS)).await]);
        }
    }
    let counts = server.counts().await;
    // Each client has to fetch a first token; after that, only a rejection makes it fetch.
    let rejections = counts.api_statuses.get(&401).copied().unwrap_or_default();
    assert_eq!(rejections, 2 * ROUNDS - 2, "the test tests something");
    assert!(counts.token_requests <= 2 + rejections, "{counts:?}");
    assert_eq!(counts.api_statuses.get(&200), Some(&(2 * ROUNDS)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn first_callers_share_one_token_request() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_TOKEN_DELAY_MS", "100")]);
    let client = server.client();
    // When
    let answers = client.send_at_once(200, &get(&server, LINKS)).await;
    // Then
    assert_ok(&answers);
    assert!(answers.iter().flatten().all(|answer| answer.outcome.waited_for_token()));
    let counts = server.counts().await;
    assert_eq!(counts.token_requests, 1);
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, 200)]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_body_is_replayed_byte_for_byte() {
    // Given
    let body: Bytes =
        (0..32 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let server = Doorkeeper::start(&[]);
    let client = server.client();
    let post = || request(&server, Method::POST, LINKS, body.clone());
    let plain = client.send(post()).await.unwrap();
    assert!(!plain.outcome.replayed());
    // When
    server.revoke_all().await;
    let replayed = client.send(post()).await.unwrap();
    // Then
    assert!(replayed.outcome.replayed());
    assert_eq!((plain.status, replayed.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(replayed.json()["body_bytes"], body.len());
    assert!(replayed.json()["body_sha256"].is_string());
    assert_eq!(replayed.json(), plain.json());
    let counts = server.counts().await;
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, 2), (401, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn the_tour_works_here_as_well() {
    // Given
    let server = Doorkeeper::start(&[]);
    // When
    let tour = std::process::Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--all-features", "--example", "tour"])
        .envs(server.tour_variables())
        .output()
        .unwrap();
    // Then
    let printed = String::from_utf8_lossy(&tour.stdout);
    assert!(tour.status.success(), "{printed}{}", String::from_utf8_lossy(&tour.stderr));
    let counts = server.counts().await;
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, USE_CASES.len())]));
}
