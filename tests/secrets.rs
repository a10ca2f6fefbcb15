//! Where the client secret comes from: variables, files and functions, read anew for each token
//! request; and what becomes of those that cannot be read.

mod common;

use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::scratch::Scratch;
use common::scripted::{SECOND, Scripted, TokenServer, call, grant, kind};
use common::*;
use tower::service_fn;
use tower_partner_auth::{
    ClientAuthentication, ClientCredentials, Error, PartnerAuthLayer, ProblemKind, Route, Secret,
    SecretError, SecretErrorKind, TokenError, TokenErrorKind, TokenRequest, TokenResponse,
};

const ID: &str = "my client";

/// A layer that asks a scripted token server with this secret.
fn scripted(secret: impl Into<Secret>, tokens: TokenServer) -> Scripted {
    Scripted::of(ClientCredentials::new(ID, secret), tokens, |builder| builder)
}

/// The secrets that a token server was shown.
fn shown(tokens: &TokenServer) -> Vec<String> {
    let secret = |form: &String| {
        let mut pairs = form_urlencoded::parse(form.as_bytes());
        pairs.find(|(name, _)| name == "client_secret").map(|(_, value)| value.into_owned())
    };
    tokens.forms().iter().filter_map(secret).collect()
}

#[track_caller]
fn token_error<T>(result: Result<T, Error<Infallible>>) -> TokenError {
    match result {
        Err(Error::Token(error)) => error,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no error"),
    }
}

#[track_caller]
fn secret_error(error: &TokenError) -> &SecretError {
    let source = error.source().expect("a cause");
    source.downcast_ref().unwrap_or_else(|| panic!("another cause: {source}"))
}

// === where it comes from ===

#[tokio::test(start_paused = true)]
async fn a_file_is_read_anew_for_each_token_request() {
    // Given
    let file = Scratch::with("first\n");
    let calls = scripted(Secret::file(file.path()), TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    // When
    file.replace("second\r\n");
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 1, "the token is as good as before");
    tokio::time::sleep(101 * SECOND).await;
    calls.call().await.unwrap();
    // Then
    assert_eq!(shown(&calls.tokens), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_between_two_attempts_of_one_fetch_is_read_for_each() {
    // Given
    let file = Arc::new(Scratch::with("first"));
    let tokens = TokenServer::default().then_after(SECOND, 503, "").then(200, grant(100));
    let calls = scripted(Secret::file(file.path()), tokens);
    // When
    let change = async {
        tokio::time::sleep(SECOND / 2).await;
        file.replace("second");
    };
    let (status, ()) = tokio::join!(calls.call(), change);
    // Then
    assert_eq!(status.unwrap(), 200);
    assert_eq!(shown(&calls.tokens), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_variable_is_read() {
    // Cargo sets it for its tests: a process cannot safely change its own.
    let calls = scripted(Secret::env("CARGO_PKG_NAME"), TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    assert_eq!(shown(&calls.tokens), [env!("CARGO_PKG_NAME")]);

    let unset = ClientCredentials::new(ID, Secret::env("PARTNER_AUTH_NO_SUCH_VARIABLE"));
    let error = unset.client_secret().await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::NotSet);
    assert!(error.to_string().contains("PARTNER_AUTH_NO_SUCH_VARIABLE"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_for_each_token_request_and_not_before() {
    // Given
    let asked = Arc::new(AtomicUsize::new(0));
    let secret = Secret::from_fn({
        let asked = Arc::clone(&asked);
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
            async move { Ok::<_, Infallible>(format!("secret-{number}")) }
        }
    });
    let tokens = TokenServer::default().then(503, "").then(200, grant(100));
    // When
    let calls = scripted(secret.clone(), tokens);
    calls.auth.set_credentials(ClientCredentials::new(ID, secret)).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "it is for the network's time");
    calls.call().await.unwrap();
    calls.call().await.unwrap();
    // Then
    assert_eq!(shown(&calls.tokens), ["secret-1", "secret-2"], "the second attempt has its own");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_a_file_goes_into_the_header_as_well() {
    let file = Scratch::with("open sesame\n");
    let credentials = ClientCredentials::new("Aladdin", Secret::file(file.path()))
        .with_authentication(ClientAuthentication::BasicUnencoded);
    let calls = Scripted::of(credentials, TokenServer::answering(grant(100)), |builder| builder);
    calls.call().await.unwrap();
    let header = &calls.tokens.headers()[0]["authorization"];
    assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

#[tokio::test]
async fn a_token_source_of_the_users_own_can_read_the_secret() {
    // Given
    let file = Scratch::with("from-the-file\n");
    let credentials = ClientCredentials::new(ID, Secret::file(file.path()));
    let source = service_fn(|request: TokenRequest| async move {
        let secret = request.credentials().client_secret().await;
        let secret =
            secret.map_err(|error| TokenError::new(TokenErrorKind::Source).with_source(error))?;
        assert_eq!(&*secret, "from-the-file");
        assert_eq!(request.headers()["x-api-key"], "k3y");
        let printed = format!("{secret:?} {request:?} {request:#?}");
        assert!(printed.contains("x-api-key"), "{printed}");
        assert!(!printed.contains("from-the-file") && !printed.contains("k3y"), "{printed}");
        TokenResponse::new("token")
    });
    let auth = PartnerAuthLayer::builder(credentials)
        .token_url("https://accounts.example.com/oauth/token")
        .route(Route::any("https://api.example.com/v1/{id}", "read"))
        .token_header("x-api-key", "k3y")
        .token_source(source)
        .build()
        .unwrap();
    // Then
    call(&auth).await.unwrap();

    // When
    std::fs::remove_file(file.path()).unwrap();
    auth.invalidate_all();
    // Then
    let error = token_error(call(&auth).await);
    assert_eq!(secret_error(&error).kind(), SecretErrorKind::NotFound);
}

#[test]
fn outside_a_runtime_a_file_is_read_as_well() {
    let file = Scratch::with("s3cret\n");
    let credentials = ClientCredentials::new(ID, Secret::file(file.path()));
    let read = tokio_test::task::spawn(credentials.client_secret()).poll();
    let std::task::Poll::Ready(Ok(secret)) = read else { panic!("not read: {read:?}") };
    assert_eq!(&*secret, "s3cret");
}

// === what cannot be read ===

#[tokio::test(start_paused = true)]
async fn a_file_that_goes_bad_is_a_typed_error_that_names_it_and_not_what_is_in_it() {
    use SecretErrorKind as Kind;
    let long = "s3cret-".repeat(10_000);
    for (content, kind) in [
        (None, Kind::NotFound),
        (Some(&b""[..]), Kind::Empty),
        (Some(b"\n"), Kind::Empty),
        (Some(b"s3cret-\n\n"), Kind::BadCharacters),
        (Some(b" s3cret-"), Kind::BadCharacters),
        (Some(b"s3cret-\0"), Kind::BadCharacters),
        (Some(b"s3cret-\xff\xfe"), Kind::BadCharacters),
        (Some("s3crét-".as_bytes()), Kind::BadCharacters),
        (Some(long.as_bytes()), Kind::TooLong),
    ] {
        // Given a secret that was good when the layer was built
        let file = Scratch::with("s3cret-");
        let calls = scripted(Secret::file(file.path()), TokenServer::answering(grant(100)));
        // When
        match content {
            Some(content) => file.replace(content),
            None => std::fs::remove_file(file.path()).unwrap(),
        }
        for _ in 0..3 {
            // Then
            let error = token_error(calls.call().await);
            assert_eq!(error.kind(), TokenErrorKind::Secret, "{kind:?}");
            assert!(!error.is_transient());
            assert_eq!(secret_error(&error).kind(), kind);
            let said = all_forms(&error);
            assert!(said.contains("the-file"), "{said}");
            assert!(!said.contains("s3cr"), "{said}");
        }
        assert_eq!(calls.tokens.requests(), 0, "{kind:?}: nothing to ask with");
        // When it is good again, it is tried again after a while.
        file.replace("s3cret-");
        tokio::time::sleep(6 * SECOND).await;
        assert_eq!(calls.call().await.unwrap(), 200, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_in_the_place_of_the_file_is_said_to_be_none() {
    let file = Scratch::with("s3cret");
    let calls = scripted(Secret::file(file.path()), TokenServer::answering(grant(100)));
    std::fs::remove_file(file.path()).unwrap();
    std::fs::create_dir(file.path()).unwrap();
    let error = token_error(calls.call().await);
    let cause = secret_error(&error);
    assert_eq!(cause.kind(), SecretErrorKind::Unreadable);
    assert!(cause.source().unwrap().to_string().contains("no regular file"));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_secret_harms_no_token_that_lives() {
    // Given
    let file = Scratch::with("s3cret");
    let calls = scripted(Secret::file(file.path()), TokenServer::answering(grant(100)));
    calls.call().await.unwrap();
    std::fs::remove_file(file.path()).unwrap();
    // When: past the time at which it is renewed.
    tokio::time::sleep(80 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200);
    tokio::time::sleep(10 * SECOND).await;
    file.replace("s3cret");
    assert_eq!(calls.call().await.unwrap(), 200);
    tokio::time::sleep(6 * SECOND).await;
    calls.call().await.unwrap();
    tokio::time::sleep(SECOND).await;
    // Then
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.carried().last().unwrap(), "Bearer token-2", "renewed before its end");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_is_named_with_its_own_causes() {
    let asked = Arc::new(AtomicUsize::new(0));
    let secret = Secret::from_fn({
        let asked = Arc::clone(&asked);
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Err(io::Error::new(io::ErrorKind::PermissionDenied, "the vault is sealed")) }
        }
    });
    let calls = scripted(secret, TokenServer::answering(grant(100)));
    for _ in 0..5 {
        let error = token_error(calls.call().await);
        assert_eq!(error.kind(), TokenErrorKind::Secret);
        assert!(!error.is_transient());
        assert_eq!(secret_error(&error).kind(), SecretErrorKind::Provider);
        let cause: &io::Error = secret_error(&error).source().unwrap().downcast_ref().unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is remembered for a while");
    assert_eq!(calls.tokens.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_may_say_that_its_failure_is_transient() {
    let asked = Arc::new(AtomicUsize::new(0));
    let secret = Secret::from_fn({
        let asked = Arc::clone(&asked);
        move || {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    Err(TokenError::new(TokenErrorKind::Source))
                } else {
                    Ok("s".to_owned())
                }
            }
        }
    });
    let calls = scripted(secret, TokenServer::answering(grant(100)));
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!((asked.load(Ordering::SeqCst), calls.tokens.requests()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_no_request_can_carry_is_refused_from_a_provider_too() {
    for (text, kind) in [
        ("", SecretErrorKind::Empty),
        ("s3cret\n", SecretErrorKind::BadCharacters),
        ("s3crét", SecretErrorKind::BadCharacters),
    ] {
        let secret = Secret::from_fn(move || async move { Ok::<_, Infallible>(text.to_owned()) });
        let calls = scripted(secret, TokenServer::answering(grant(100)));
        let error = token_error(calls.call().await);
        assert_eq!(secret_error(&error).kind(), kind, "{text:?}");
        assert!(!all_forms(&error).contains("s3cr"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_ends_in_the_attempts_timeout() {
    // Given one that hangs twice
    let asked = Arc::new(AtomicUsize::new(0));
    let secret = Secret::from_fn({
        let asked = Arc::clone(&asked);
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            async move {
                if number < 2 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>("secret".to_owned())
            }
        }
    });
    let tokens = TokenServer::answering(grant(100));
    let credentials = ClientCredentials::new(ID, secret);
    let calls = Scripted::of(credentials, tokens, |builder| {
        builder.token_timeout(9 * SECOND).token_retries(0)
    });
    // When
    let start = tokio::time::Instant::now();
    assert_eq!(kind(calls.call().await), TokenErrorKind::TimedOut);
    // Then: a third of the whole, and nothing is stuck.
    assert_eq!(start.elapsed().as_secs(), 3);
    tokio::time::sleep(SECOND).await;
    assert_eq!(kind(calls.call().await), TokenErrorKind::TimedOut);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn beside_a_provider_that_hangs_or_panics_the_other_secret_is_used() {
    let hangs = Secret::from_fn(std::future::pending::<Result<String, Infallible>>);
    let panics = Secret::from_fn(|| async { panic!("it panics") as Result<String, Infallible> });
    for (bad, in_time) in [(hangs, true), (panics, false)] {
        let tokens = TokenServer::answering(grant(100)).then(200, grant(100));
        let credentials = ClientCredentials::new(ID, bad).or_secret("good");
        let calls = Scripted::of(credentials.clone(), tokens, |builder| {
            builder.token_timeout(9 * SECOND).token_retries(1)
        });
        // One attempt is lost to it; what panics ends the fetch.
        assert_eq!(calls.call().await.is_ok(), in_time, "{credentials:?}");
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(calls.call().await.unwrap(), 200);
        assert_eq!(shown(&calls.tokens), ["good"]);
        // And none from then on.
        let start = tokio::time::Instant::now();
        calls.auth.invalidate_all();
        assert_eq!(calls.call().await.unwrap(), 200);
        assert_eq!(start.elapsed().as_secs(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_aborts_the_fetch_and_the_next_call_starts_another() {
    let asked = Arc::new(AtomicUsize::new(0));
    let secret = Secret::from_fn({
        let asked = Arc::clone(&asked);
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            assert!(number > 0, "the first one panics at once");
            async move {
                assert!(number > 1, "the second one panics later");
                Ok::<_, Infallible>("secret".to_owned())
            }
        }
    });
    let calls = scripted(secret, TokenServer::answering(grant(100)));
    for _ in 0..2 {
        assert_eq!(kind(calls.call().await), TokenErrorKind::Aborted);
        tokio::time::sleep(2 * SECOND).await;
    }
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!((asked.load(Ordering::SeqCst), calls.tokens.requests()), (3, 1));
}

// === set_credentials ===

#[tokio::test(start_paused = true)]
async fn new_credentials_are_read_before_they_are_taken() {
    let file = Scratch::new();
    let calls = scripted("old", TokenServer::answering(grant(100)));
    let new = ClientCredentials::new(ID, Secret::file(file.path()));
    let error = calls.auth.set_credentials(new.clone()).unwrap_err();
    assert_eq!(error.problems()[0].kind(), ProblemKind::Credentials);
    assert!(error.to_string().contains("the-file"), "{error}");
    calls.call().await.unwrap();

    file.replace("new\n");
    calls.auth.set_credentials(new).unwrap();
    calls.auth.invalidate_all();
    calls.call().await.unwrap();
    assert_eq!(shown(&calls.tokens), ["old", "new"]);
}
