//! Clients that show who they are in a way of their own: asked for each token request, and trusted
//! with no more of it than is theirs.

mod common;

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use common::scripted::{SECOND, Scripted, TOKEN_URL, TokenServer, grant, kind};
use common::*;
use http::header::AUTHORIZATION;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{BoxError, service_fn};
use tower_partner_auth::{
    Builder, ClientAuthenticator, ClientCredentials, ClientProof, Error, ProofFuture, ProofRequest,
    SecretError, SecretErrorKind, TokenError, TokenErrorKind,
};

const ID: &str = "my client";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Makes a proof of a request and its number.
struct By<F>(F, AtomicUsize);

fn by<F>(make: F) -> By<F>
where
    F: Fn(ProofRequest<'_>, usize) -> Result<ClientProof, BoxError> + Send + Sync + 'static,
{
    By(make, AtomicUsize::new(0))
}

impl<F> ClientAuthenticator for By<F>
where
    F: Fn(ProofRequest<'_>, usize) -> Result<ClientProof, BoxError> + Send + Sync + 'static,
{
    fn authenticate<'a>(&'a self, request: ProofRequest<'a>) -> ProofFuture<'a> {
        Box::pin(async move {
            // As one that asks a key service.
            tokio::task::yield_now().await;
            (self.0)(request, self.1.fetch_add(1, Ordering::SeqCst) + 1)
        })
    }
}

fn scripted(
    authenticator: impl ClientAuthenticator,
    tokens: TokenServer,
    configure: impl FnOnce(Builder) -> Builder,
) -> Scripted {
    Scripted::of(ClientCredentials::with_authenticator(ID, authenticator), tokens, configure)
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
    error.source().and_then(|source| source.downcast_ref()).expect("a secret error")
}

/// An assertion of these claims, whose signature is a word both sides know.
fn assertion(request: ProofRequest<'_>, number: usize) -> String {
    let encode = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(json!({ "alg": "none", "typ": "JWT" }));
    let claims = encode(json!({
        "iss": request.client_id(), "sub": request.client_id(),
        "aud": request.endpoint().to_string(), "jti": format!("id-{number}"),
    }));
    format!("{header}.{claims}.signed")
}

/// A token endpoint that takes an assertion once (RFC 7523 §3), and fails as it is told after that.
#[derive(Clone, Default)]
struct Verifier {
    seen: Arc<Mutex<HashSet<String>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    failing: Arc<AtomicUsize>,
}

impl Verifier {
    async fn answer(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        assert!(!request.headers().contains_key(AUTHORIZATION));
        let form = request.into_body().collect().await?.to_bytes();
        let status = match self.check(&form) {
            Err(_) => 401,
            Ok(()) if self.failing.load(Ordering::SeqCst) > 0 => {
                self.failing.fetch_sub(1, Ordering::SeqCst);
                503
            }
            Ok(()) => 200,
        };
        self.answers.lock().unwrap().push(status);
        let body = match status {
            200 => grant(100),
            401 => r#"{"error":"invalid_client"}"#.to_owned(),
            _ => String::new(),
        };
        Ok(Response::builder().status(status).body(body.into()).unwrap())
    }

    fn check(&self, form: &[u8]) -> Result<(), BoxError> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(form).into_owned().collect();
        let one = |wanted: &str| -> Result<&str, BoxError> {
            let mut values = pairs.iter().filter(|(name, _)| name == wanted);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(value),
                _ => Err(wanted.into()),
            }
        };
        if pairs.iter().any(|(name, _)| name == "client_secret") {
            return Err("a secret".into());
        }
        let kind = one("client_assertion_type")? == JWT_BEARER && one("client_id")? == ID;
        let mut parts = one("client_assertion")?.split('.');
        let (_, claims, signature) = (parts.next(), parts.next(), parts.next());
        let claims: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims.unwrap_or_default())?)?;
        let whose = claims["iss"] == ID && claims["sub"] == ID && claims["aud"] == TOKEN_URL;
        let fresh = self.seen.lock().unwrap().insert(claims["jti"].to_string());
        let good = kind && whose && fresh && signature == Some("signed");
        good.then_some(()).ok_or_else(|| "a bad assertion".into())
    }
}

#[tokio::test(start_paused = true)]
async fn each_token_request_has_an_assertion_of_its_own() {
    // Given a server that fails once after it has taken the assertion
    let verifier = Verifier::default();
    verifier.failing.store(1, Ordering::SeqCst);
    let client = {
        let verifier = verifier.clone();
        service_fn(move |request| verifier.clone().answer(request))
    };
    let authenticator =
        by(|request, number| Ok(ClientProof::jwt_bearer(assertion(request, number))));
    let calls =
        scripted(authenticator, TokenServer::default(), |builder| builder.http_client(client));
    // When
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.call().await.unwrap(), 200);
    tokio::time::sleep(101 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200);
    // Then
    assert_eq!(*verifier.answers.lock().unwrap(), [503, 200, 200], "none was sent twice");
    assert_eq!(verifier.seen.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_request_has_what_the_proof_has_and_no_secret() {
    let authenticator = by(|request, _| {
        assert_eq!(request.scope(), &scope("a b"));
        let proof = ClientProof::new().with_parameter("client_assertion", "a&b");
        Ok(proof
            .with_header(AUTHORIZATION, "Signature s3cret")
            .with_header(HeaderName::from_static("x-date"), "today"))
    });
    let calls = scripted(authenticator, TokenServer::answering(grant(100)), |builder| {
        builder.token_parameter("audience", "x").token_header("x-api-key", "k3y")
    });
    calls.call().await.unwrap();
    assert_eq!(
        calls.tokens.forms(),
        [
            "grant_type=client_credentials&client_id=my+client&client_assertion=a%26b&scope=a+b&audience=x"
        ]
    );
    let headers = &calls.tokens.headers()[0];
    for (name, value) in [
        ("authorization", "Signature s3cret"),
        ("x-date", "today"),
        ("x-api-key", "k3y"),
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
    for name in ["authorization", "x-date", "x-api-key"] {
        assert!(headers[name].is_sensitive(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_proof_cannot_take_the_place_of_what_the_grant_says() {
    let parameter = |name: &'static str| {
        let proof = move || ClientProof::new().with_parameter(name, "s3cret");
        (name, Box::new(proof) as Box<dyn Fn() -> ClientProof + Send + Sync>)
    };
    let header = |name: &'static str| {
        let proof = move || ClientProof::new().with_header(HeaderName::from_static(name), "s3cret");
        (name, Box::new(proof) as Box<dyn Fn() -> ClientProof + Send + Sync>)
    };
    let twice = || ClientProof::jwt_bearer("s3cret").with_parameter("client_assertion", "s3cret");
    let broken = || {
        ClientProof::new().with_header(HeaderName::from_static("x-broken"), "s3cret\r\nx-more: 1")
    };
    for (name, proof) in [
        parameter("grant_type"),
        parameter("client_id"),
        parameter("client_secret"),
        parameter("scope"),
        parameter("audience"),
        header("accept"),
        header("content-type"),
        header("host"),
        header("content-length"),
        header("transfer-encoding"),
        header("connection"),
        header("te"),
        header("upgrade"),
        header("x-api-key"),
        ("client_assertion", Box::new(twice)),
        ("x-broken", Box::new(broken)),
    ] {
        let shown = proof();
        assert!(!format!("{shown:?} {shown:#?}").contains("s3cret"), "{name}");
        let authenticator = by(move |_, _| Ok(proof()));
        let calls = scripted(authenticator, TokenServer::answering(grant(100)), |builder| {
            builder.token_parameter("audience", "x").token_header("x-api-key", "k3y")
        });
        let error = token_error(calls.call().await);
        assert_eq!(error.kind(), TokenErrorKind::Secret, "{name}");
        assert_eq!(secret_error(&error).kind(), SecretErrorKind::BadProof, "{name}");
        let said = all_forms(&error);
        assert!(said.contains(name) && !said.contains("s3cret"), "{said}");
        assert_eq!(calls.tokens.requests(), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_headers_than_can_be_sent_are_no_panic() {
    let authenticator = by(|_, _| {
        Ok((0..40_000).fold(ClientProof::new(), |proof, number| {
            proof.with_header(HeaderName::try_from(format!("x-{number}")).unwrap(), "s3cret")
        }))
    });
    let calls = scripted(authenticator, TokenServer::answering(grant(100)), |builder| builder);
    let error = token_error(calls.call().await);
    assert_eq!(secret_error(&error).kind(), SecretErrorKind::BadProof);
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_fails_is_named_with_its_own_causes() {
    let authenticator = by(|_, number| match number {
        1 => Err(io::Error::other("the key is locked").into()),
        2 => Err(TokenError::new(TokenErrorKind::Source).into()),
        _ => Ok(ClientProof::jwt_bearer("jwt")),
    });
    let calls = scripted(authenticator, TokenServer::answering(grant(100)), |builder| builder);
    for _ in 0..3 {
        let error = token_error(calls.call().await);
        assert_eq!(error.kind(), TokenErrorKind::Secret);
        assert_eq!(secret_error(&error).kind(), SecretErrorKind::Provider);
        assert!(all_forms(&error).contains("the key is locked"));
    }
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200, "the second failure said that it is transient");
    assert_eq!(calls.tokens.requests(), 1);
}

struct Hangs;

impl ClientAuthenticator for Hangs {
    fn authenticate<'a>(&'a self, _: ProofRequest<'a>) -> ProofFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_hangs_ends_in_the_attempts_timeout() {
    let calls = scripted(Hangs, TokenServer::answering(grant(100)), |builder| {
        builder.token_timeout(9 * SECOND).token_retries(0)
    });
    let start = tokio::time::Instant::now();
    assert_eq!(kind(calls.call().await), TokenErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(calls.tokens.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_panics_aborts_the_fetch_and_the_next_call_starts_another() {
    let authenticator = by(|_, number| {
        assert!(number > 1, "the first one panics");
        Ok(ClientProof::jwt_bearer("jwt"))
    });
    let calls = scripted(authenticator, TokenServer::answering(grant(100)), |builder| builder);
    assert_eq!(kind(calls.call().await), TokenErrorKind::Aborted);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200);
}

#[tokio::test]
async fn a_client_with_an_authenticator_has_no_secret_to_read() {
    let credentials = ClientCredentials::with_authenticator(ID, Hangs);
    let error = credentials.client_secret().await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::NoSecret);
    assert!(format!("{credentials:?}").contains("authenticator"));
}
