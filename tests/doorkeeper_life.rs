//! Whole lives of tokens against a real Doorkeeper: a minute of load, reuse, rivals, a crash, a change of
//! the secret. Like
//! `doorkeeper.rs`, it is asked for:
//!
//! ```text
//! cargo test --test doorkeeper_life -- --ignored
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::time::Instant;

#[path = "common/scratch.rs"]
mod scratch;
#[path = "doorkeeper/server.rs"]
mod server;

use scratch::Scratch;
use server::{
    Answered, Body, CLIENT_ID, CLIENT_SECRET, CallError, Counts, Doorkeeper, PartnerClient,
};
use tower_partner_auth::{ClientCredentials, Secret};

const SECOND: Duration = Duration::from_secs(1);

type Answers = Vec<Result<Answered, CallError>>;

fn get(server: &Doorkeeper) -> Request<Body> {
    let uri = format!("{}/payment-links", server.origin());
    Request::get(uri).body(Bytes::new().into()).unwrap()
}

/// Two clients with a token each, and then calls of both at once for so long, one each `every`.
async fn both(server: &Doorkeeper, duration: Duration, every: Duration) -> Answers {
    let clients = [server.client(), server.client()];
    for client in &clients {
        client.send(get(server)).await.expect("a token");
    }
    let load = |client: &PartnerClient| {
        let (client, request) = (client.clone(), get(server));
        async move { client.send_for(duration, every, &request).await }
    };
    let (mut one, other) = tokio::join!(load(&clients[0]), load(&clients[1]));
    one.extend(other);
    one
}

#[track_caller]
fn assert_ok(answers: &Answers) {
    assert!(answers.len() > 200, "{} calls are no load", answers.len());
    for answer in answers {
        match answer {
            Ok(answer) => assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.outcome),
            Err(error) => panic!("{error}"),
        }
    }
}

fn rejections(counts: &Counts) -> usize {
    counts.api_statuses.get(&401).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_minute_of_two_second_tokens_under_load_costs_no_call() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_LIFE", "2")]);
    // When
    let begin = Instant::now();
    let answers = server.client().send_for(60 * SECOND, SECOND / 100, &get(&server)).await;
    // Then
    let counts = server.counts().await;
    assert_ok(&answers);
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, answers.len())]), "no rejection");
    // A renewal is begun in the second half of a life: no more than one a second.
    let possible = begin.elapsed().as_secs() as usize + 1;
    assert!((30..=possible).contains(&counts.token_requests), "{counts:?} of {possible}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_token_that_is_reused_until_its_end_costs_no_call() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_LIFE", "2"), ("DOORKEEPER_REUSE", "1")]);
    // When
    let begin = Instant::now();
    let answers = both(&server, 20 * SECOND, SECOND / 50).await;
    // Then
    let counts = server.counts().await;
    assert_ok(&answers);
    // Two clients, each at most three times a second.
    let possible = 2 * 3 * (begin.elapsed().as_secs() as usize + 1);
    assert!((20..=possible).contains(&counts.token_requests), "{counts:?} of {possible}");
    // A rest of less than half a second is told as 0, and taken for a second: it may be rejected.
    assert_eq!(counts.api_requests, 2 + answers.len() + rejections(&counts), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn rivals_that_revoke_each_others_tokens_under_load_all_get_through() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_REVOKE_PREVIOUS", "1")]);
    // When
    let begin = Instant::now();
    let answers = both(&server, 10 * SECOND, SECOND / 20).await;
    // Then
    let counts = server.counts().await;
    assert_ok(&answers);
    let rejections = rejections(&counts);
    assert!(rejections > 10, "the test tests something: {counts:?}");
    assert_eq!(counts.api_requests, 2 + answers.len() + rejections, "each is sent twice at most");
    assert!(counts.token_requests <= 2 + rejections, "{counts:?}");
    // Each lets the other have a quarter of a second.
    let possible = 2 + 4 * (begin.elapsed().as_secs() as usize + 1);
    assert!(counts.token_requests <= possible, "{counts:?} of {possible}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_token_server_that_crashes_for_ten_seconds_is_survived() {
    const LIFE: Duration = Duration::from_secs(8);
    const LIMIT: Duration = Duration::from_secs(2);
    // Given a token server and an API with one database between them,
    let mut tokens = Doorkeeper::start(&[("DOORKEEPER_LIFE", "8")]);
    let api = tokens.twin();
    let client = api.client_with(|builder| builder.token_url(tokens.token_url()).wait_limit(LIMIT));
    let begin = Instant::now();
    let first = client.send(get(&api)).await.unwrap();
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(tokens.counts().await.token_requests, 1);
    // When
    tokens.kill();
    let killed = Instant::now();
    // Then
    let mut failures = 0;
    while killed.elapsed() < 10 * SECOND {
        let call = tokio::time::timeout(LIMIT + 3 * SECOND, client.send(get(&api)));
        match call.await.expect("an end within the limit, and some more") {
            Ok(answer) => assert_eq!(answer.status, StatusCode::OK),
            Err(error) => {
                assert!(begin.elapsed() >= LIFE, "the token lives: {error}");
                assert!(
                    error.as_token_error().is_some_and(|error| error.is_transient()),
                    "{error}"
                );
                failures += 1;
            }
        }
        tokio::time::sleep(SECOND / 50).await;
    }
    assert!(failures > 0, "the test tests something");

    // When
    tokio::task::block_in_place(|| tokens.restart());
    // Then
    let recovery = async {
        while client.send(get(&api)).await.is_err() {
            tokio::time::sleep(SECOND / 50).await;
        }
    };
    tokio::time::timeout(40 * SECOND, recovery).await.expect("a back-off of 30 seconds at most");
    assert_eq!(client.send(get(&api)).await.unwrap().status, StatusCode::OK);
    assert_eq!(tokens.counts().await.token_statuses, BTreeMap::from([(200, 1)]));
    let counts = api.counts().await;
    assert_eq!(rejections(&counts), 0, "an expired token is never sent: {counts:?}");
}

/// 500 calls a second.
const EVERY: Duration = Duration::from_millis(2);
/// With all that an encoding could get wrong, as the first one has.
const NEW_SECRET: &str = "n3w&s =+/:%26";
const NEWEST_SECRET: &str = "n3w3st";

/// Calls of a client for so long, while something else is done.
async fn calls_during(
    server: &Doorkeeper,
    client: &PartnerClient,
    duration: Duration,
    meanwhile: impl Future<Output = ()>,
) -> Answers {
    let request = get(server);
    let begin = Instant::now();
    let (answers, ()) = tokio::join!(client.send_for(duration, EVERY, &request), meanwhile);
    // On a slow machine it is less; by far less would show nothing.
    println!("{} calls in {:?}", answers.len(), begin.elapsed());
    assert!(answers.len() > 200 * duration.as_secs() as usize, "{} calls", answers.len());
    answers
}

fn granted_and_refused(counts: &Counts) -> (usize, usize) {
    let of = |status| counts.token_statuses.get(&status).copied().unwrap_or_default();
    (of(200), of(401))
}

async fn until(server: &Doorkeeper, condition: impl Fn(usize, usize) -> bool) {
    loop {
        let (granted, refused) = granted_and_refused(&server.counts().await);
        if condition(granted, refused) {
            return;
        }
        tokio::time::sleep(SECOND / 20).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn a_secret_that_is_changed_at_the_server_and_then_in_the_file_costs_no_call() {
    // Given
    let server = Doorkeeper::start(&[("DOORKEEPER_LIFE", "24")]);
    let file = Scratch::with(CLIENT_SECRET);
    let client = server.client_with_secret(Secret::file(file.path()));
    client.send(get(&server)).await.expect("a token");
    let first = client.last_presented();
    // When
    let change = async {
        tokio::time::sleep(SECOND).await;
        server.change_secret(NEW_SECRET).await;
        // A renewal with the old one: from then on it is known that it is no good.
        until(&server, |_, refused| refused > 0).await;
        file.replace(format!("{NEW_SECRET}\n"));
    };
    let answers = calls_during(&server, &client, 30 * SECOND, change).await;
    // Then
    assert_ok(&answers);
    let counts = server.counts().await;
    let (granted, refused) = granted_and_refused(&counts);
    assert!(refused >= 1, "{counts:?}");
    assert!(granted >= 2, "{counts:?}");
    assert!(client.last_presented() != first, "the first token has ended");
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, answers.len() + 1)]), "no rejection");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Doorkeeper (Debian: ruby-doorkeeper ruby-activerecord puma ruby-sqlite3)"]
async fn with_two_secrets_that_overlap_no_fetch_fails_when_the_server_changes_its_own() {
    // Given tokens of two seconds, and a second secret that is still to come
    let server = Doorkeeper::start(&[("DOORKEEPER_LIFE", "2")]);
    let (first, second) = (Scratch::with(CLIENT_SECRET), Scratch::new());
    let credentials = ClientCredentials::new(CLIENT_ID, Secret::file(first.path()))
        .or_secret(Secret::file(second.path()));
    let client = server.client_of(credentials);
    client.send(get(&server)).await.expect("a token");
    // When it changes twice
    let change = async {
        until(&server, |granted, _| granted >= 4).await;
        second.replace(NEW_SECRET);
        server.change_secret(NEW_SECRET).await;
        until(&server, |_, refused| refused == 1).await;
        let (granted, _) = granted_and_refused(&server.counts().await);
        until(&server, |now, _| now >= granted + 3).await;
        first.replace(NEWEST_SECRET);
        server.change_secret(NEWEST_SECRET).await;
    };
    let answers = calls_during(&server, &client, 20 * SECOND, change).await;
    // Then each change cost one refusal, in a fetch that got its token all the same.
    assert_ok(&answers);
    let counts = server.counts().await;
    let (granted, refused) = granted_and_refused(&counts);
    assert_eq!(refused, 2, "{counts:?}");
    assert!(granted >= 10, "{counts:?}");
    assert_eq!(counts.api_statuses, BTreeMap::from([(200, answers.len() + 1)]), "no rejection");
}
