//! Laws R2, T1, T2, T4, T6, T7, T8 and T9: how tokens are fetched, what their lives are, what is refused.

mod common;

use std::convert::Infallible;
use std::future::Ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use common::scripted::{SECOND, Scripted, TokenServer, auth_with, call, grant, kind};
use common::*;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::Service;
use tower_partner_auth::sandbox::{Answer, Sandbox};
use tower_partner_auth::{
    ClientAuthentication, ClientCredentials, Error, PartnerAuthLayer, RequestAuth, Route,
    TokenErrorKind, TokenResponse,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_first_callers_cost_one_fetch() {
    let rig = Rig::start().await;
    rig.sandbox.token_delay(Duration::from_millis(50));
    assert_eq!(rig.herd(1_000, MERCHANT).await, [StatusCode::OK; 1_000]);
    assert_eq!(rig.sandbox.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_no_longer_than_its_limit() {
    let tokens = TokenServer::default().then_after(5 * SECOND, 200, grant(100));
    let calls = Scripted::with(tokens, |builder| builder.wait_limit(2 * SECOND));
    let start = tokio::time::Instant::now();
    assert_eq!(kind(calls.call().await), TokenErrorKind::WaitLimit);
    assert_eq!(start.elapsed().as_secs(), 2);
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.tokens.requests(), 1, "the flight went on");
}

/// A client that would have to connect before it is ready, and cannot.
#[derive(Clone)]
struct NeverReady;

impl Service<Request<Full<Bytes>>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        panic!("it is not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_never_ready_ends_in_the_token_timeout() {
    let calls = Scripted::with(TokenServer::default(), |builder| {
        builder.http_client(NeverReady).token_timeout(10 * SECOND)
    });
    let start = tokio::time::Instant::now();
    assert_eq!(kind(calls.call().await), TokenErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 10);
    let status = calls.auth.status();
    assert!(status.tokens().all(|token| !token.is_fetching() && token.next_attempt().is_some()));
}

#[tokio::test(start_paused = true)]
async fn fifty_callers_on_a_failing_server_fail_together() {
    let tokens = TokenServer::default().then_after(SECOND, 503, "down");
    let calls = Scripted::with(tokens, |builder| builder.token_retries(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let calls = calls.clone();
        tasks.spawn(async move { calls.call().await });
    }
    for result in tasks.join_all().await {
        assert_eq!(kind(result), TokenErrorKind::Status);
    }
    assert_eq!(calls.tokens.requests(), 1);
    assert!(calls.carried().is_empty(), "nothing was sent without a token");
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_inside_the_flight() {
    let tokens =
        TokenServer::default().then(503, "").then(400, r#"{"error":"invalid_token_reuse"}"#);
    let calls = Scripted::new(tokens.then(200, grant(100)));
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.tokens.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn permanent_failures_are_not_retried_and_remembered_for_a_while() {
    let tokens = TokenServer::default().then(401, r#"{"error":"invalid_client"}"#);
    let calls = Scripted::new(tokens.then(200, grant(100)));
    for _ in 0..10 {
        let Err(Error::Token(error)) = calls.call().await else { panic!("a token error") };
        assert_eq!(error.code(), Some("invalid_client"));
    }
    assert_eq!(calls.tokens.requests(), 1);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200, "one caller probes");
    assert_eq!(calls.tokens.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_rest_gets_it() {
    let tokens =
        TokenServer::default().then(401, r#"{"error":"rate_limit_exceeded","retry_after":60}"#);
    let calls = Scripted::new(tokens.then(200, grant(100)));
    assert!(calls.call().await.is_err());
    tokio::time::sleep(59 * SECOND).await;
    assert!(calls.call().await.is_err());
    assert_eq!(calls.tokens.requests(), 1);
    tokio::time::sleep(SECOND).await;
    assert_eq!(calls.call().await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_life_counts_from_before_the_request() {
    // Four seconds to live, three of them on the way.
    let calls = Scripted::new(TokenServer::default().then_after(3 * SECOND, 200, grant(4)));
    assert_eq!(calls.call().await.unwrap(), 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.carried(), ["Bearer token-1", "Bearer token-2"], "the first had expired");
}

#[tokio::test(start_paused = true)]
async fn created_at_is_never_reckoned_with() {
    // A reused token: made long ago, two hours to live.
    let body = r#"{"access_token":"t","token_type":"Bearer","expires_in":7200,"created_at":0}"#;
    let calls = Scripted::new(TokenServer::answering(body));
    for _ in 0..20 {
        assert_eq!(calls.call().await.unwrap(), 200);
    }
    assert_eq!(calls.tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_form_of_expires_in_makes_a_fetch_a_request() {
    for expires_in in
        ["null", "0", "1", "2592000", "\"7200\"", "7199.5", "1e300", "99999999999999999999999"]
    {
        let calls = Scripted::new(TokenServer::answering(grant(expires_in)));
        for _ in 0..20 {
            assert_eq!(calls.call().await.unwrap(), 200, "{expires_in}");
        }
        assert_eq!(calls.tokens.requests(), 1, "{expires_in}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_is_used_until_its_maximum_age() {
    let calls = Scripted::with(TokenServer::answering(grant("null")), |builder| {
        builder.max_token_age(100 * SECOND)
    });
    calls.call().await.unwrap();
    tokio::time::sleep(40 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 1);
    tokio::time::sleep(60 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.carried().last().unwrap(), "Bearer token-2");

    let forever = Scripted::new(TokenServer::answering(grant("null")));
    forever.call().await.unwrap();
    tokio::time::sleep(1_000_000 * SECOND).await;
    forever.call().await.unwrap();
    assert_eq!(forever.tokens.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_is_a_typed_error_and_nothing_is_sent() {
    use TokenErrorKind as Kind;
    let long = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "x".repeat(65 * 1024));
    for (status, body, expected) in [
        (200, "<html>Log in</html>", Kind::Malformed),
        (200, r#"{"access_token":"t","tok"#, Kind::Malformed),
        (200, &*long, Kind::TooLarge),
        (302, "", Kind::Redirected),
        (307, "", Kind::Redirected),
        (200, r#"{"error":"invalid_scope"}"#, Kind::ErrorResponse),
        (200, r#"{"token_type":"Bearer"}"#, Kind::MissingToken),
        (200, r#"{"access_token":"t","token_type":"mac"}"#, Kind::TokenType),
        (200, r#"{"access_token":"t","token_type":"Bearer","scope":"a"}"#, Kind::NarrowScope),
        (
            200,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":-1}"#,
            Kind::InvalidLifetime,
        ),
        (
            200,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":{}}"#,
            Kind::InvalidLifetime,
        ),
    ] {
        let calls =
            Scripted::with(TokenServer::default().then(status, body), |b| b.token_retries(0));
        let Err(Error::Token(error)) = calls.call().await else { panic!("{body:.60}") };
        assert_eq!(error.kind(), expected, "{body:.60}");
        assert_eq!(error.scope().unwrap().as_str(), "a b");
        assert!(error.to_string().len() > 40, "it says what to change: {error}");
        assert!(calls.carried().is_empty());
    }
    // A wider scope than asked for is as good.
    let wide = r#"{"access_token":"t","token_type":"bearer","scope":"c b a"}"#;
    assert_eq!(Scripted::new(TokenServer::answering(wide)).call().await.unwrap(), 200);
}

#[tokio::test]
async fn faults_on_the_way_are_typed_too() {
    for (answer, expected) in [
        (Answer::reset(), TokenErrorKind::Transport),
        (Answer::truncated("{\"access_token\":", 500), TokenErrorKind::Transport),
        (Answer::hang(), TokenErrorKind::TimedOut),
        (Answer::html(), TokenErrorKind::Malformed),
    ] {
        let configure = |b: tower_partner_auth::Builder| {
            b.token_retries(0).token_timeout(Duration::from_millis(600))
        };
        let rig = Rig::with(configure).await;
        rig.sandbox.script_token([answer]);
        let Err(Error::Token(error)) = rig.send(rig.request(Method::GET, MERCHANT, "")).await
        else {
            panic!("a token error")
        };
        assert_eq!(error.kind(), expected);
        assert_eq!(rig.sandbox.api_requests(), 0);
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed_with_the_secret() {
    let thief = Rig::start().await;
    let rig = Rig::start().await;
    rig.sandbox.script_token([Answer::redirect(&thief.url("/oauth/token"))]);
    let Err(Error::Token(error)) = rig.send(rig.request(Method::GET, MERCHANT, "")).await else {
        panic!("a token error")
    };
    assert_eq!(error.kind(), TokenErrorKind::Redirected);
    assert_eq!(thief.sandbox.token_requests() + thief.sandbox.api_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_request_is_the_specs() {
    let calls = Scripted::with(TokenServer::answering(grant(100)), |builder| {
        builder.token_parameter("audience", "https://api.example.com/")
    });
    calls.call().await.unwrap();
    assert_eq!(
        calls.tokens.forms(),
        [
            "grant_type=client_credentials&client_id=my+client&client_secret=s3cret%26%3D%2B&scope=a+b\
          &audience=https%3A%2F%2Fapi.example.com%2F"
        ]
    );
}

#[tokio::test]
async fn credentials_in_the_header_get_a_token_as_well() {
    for authentication in [ClientAuthentication::Basic, ClientAuthentication::BasicUnencoded] {
        let credentials = ClientCredentials::new("reader", "s3cret");
        let sandbox =
            Sandbox::builder().client(credentials.clone(), "refer_merchant").start().await.unwrap();
        let credentials = credentials.with_authentication(authentication);
        let builder = PartnerAuthLayer::builder(credentials).environment(sandbox.environment());
        let rig = Rig { sandbox, auth: builder.build().unwrap() };
        assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK, "{authentication:?}");
        assert_eq!(rig.sandbox.token_requests(), 1);
    }
}

#[tokio::test]
async fn routes_with_the_same_set_of_scopes_share_a_token() {
    let sandbox = Rig::start().await.sandbox;
    for (path, scopes) in [("/one", "a b"), ("/two", "b a b"), ("/three", "a")] {
        let endpoint = tower_partner_auth::sandbox::Endpoint::new(Method::GET, path, scopes);
        sandbox.add_endpoint(endpoint).unwrap();
    }
    let auth = layer(&sandbox, |builder| {
        let route = |path: &str, scopes: &str| {
            Route::new(Method::GET, format!("{}{path}", sandbox.origin()), scopes.to_owned())
        };
        builder.routes([route("/one", "a b"), route("/two", "b a b"), route("/three", "a")])
    });
    let rig = Rig { sandbox, auth };
    for path in ["/one", "/two", "/three", "/one"] {
        assert_eq!(rig.get(path).await.status(), StatusCode::OK);
    }
    assert_eq!(rig.sandbox.token_requests_for(&scope("a b")), 1);
    assert_eq!(rig.sandbox.token_requests_for(&scope("a")), 1);
}

#[tokio::test]
async fn a_source_that_panics_fails_its_waiters_and_the_next_call_starts_another() {
    let calls = Arc::new(AtomicUsize::new(0));
    let auth = auth_with({
        let calls = Arc::clone(&calls);
        move |_| {
            let number = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(number > 0, "the first call panics");
                TokenResponse::new("token")
            }
        }
    });
    assert_eq!(kind(call(&auth).await), TokenErrorKind::Aborted);
    tokio::time::sleep(Duration::from_millis(600)).await;
    call(&auth).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_layer_outlives_the_runtime_of_its_flight() {
    let auth = auth_with(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        TokenResponse::new("token")
    });
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let given_up =
        first.block_on(async { tokio::time::timeout(Duration::from_millis(5), call(&auth)).await });
    assert!(given_up.is_err());
    drop(first);
    runtime().block_on(async {
        // The dead flight counts as a failure: at most half a second of back-off.
        tokio::time::sleep(Duration::from_millis(600)).await;
        call(&auth).await.unwrap();
    });
}

#[test]
fn without_a_runtime_a_call_fails_and_nothing_is_stuck() {
    let auth = auth_with(|_| async { TokenResponse::new("token") });
    let result = tokio_test::task::spawn(call(&auth)).poll();
    let std::task::Poll::Ready(result) = result else { panic!("not ready") };
    assert_eq!(kind(result), TokenErrorKind::NoRuntime);
}

#[tokio::test]
async fn nothing_runs_after_the_last_clone_of_the_layer_is_dropped() {
    struct Flying(Arc<AtomicBool>);
    impl Drop for Flying {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let ended = Arc::new(AtomicBool::new(false));
    let auth = auth_with({
        let ended = Arc::clone(&ended);
        move |_| {
            let flying = Flying(Arc::clone(&ended));
            async move {
                let _flying = flying;
                std::future::pending().await
            }
        }
    });
    assert!(tokio::time::timeout(Duration::from_millis(10), call(&auth)).await.is_err());
    assert!(!ended.load(Ordering::SeqCst), "the flight goes on while there is a layer");
    drop(auth);
    let end = async {
        while !ended.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), end)
        .await
        .expect("the flight ends with its layer");
}

#[tokio::test]
async fn a_chosen_scope_gets_a_token_of_its_own() {
    let rig = Rig::start().await;
    let mut request = rig.request(Method::GET, MERCHANT, "");
    let chosen = "refer_merchant read_merchant_reseller";
    request.extensions_mut().insert(RequestAuth::scope(chosen).unwrap());
    assert_eq!(rig.send(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests_for(&scope(chosen)), 1);
    assert_eq!(rig.sandbox.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_on_the_way_is_never_sent() {
    let calls = Scripted::with(TokenServer::default().then_after(3 * SECOND, 200, grant(2)), |b| {
        b.token_retries(0)
    });
    for _ in 0..5 {
        assert_eq!(kind(calls.call().await), TokenErrorKind::Expired);
    }
    assert!(calls.carried().is_empty());
    assert_eq!(calls.tokens.requests(), 1, "a back-off like after any failure");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_dies_while_the_service_gets_ready_is_not_sent() {
    let calls = Scripted::new(TokenServer::answering(grant(1)));
    assert!(calls.send_after_readiness_of(5 * SECOND).await.is_ok());
    assert_eq!(calls.carried(), ["Bearer token-2"]);
}

#[tokio::test(start_paused = true)]
async fn lives_of_any_length_are_borne() {
    let auth =
        auth_with(|_| async { Ok(TokenResponse::new("token")?.with_expires_in(Duration::MAX)) });
    call(&auth).await.unwrap();
    let aged = Scripted::with(TokenServer::answering(grant("null")), |builder| {
        builder.max_token_age(Duration::MAX).wait_limit(Duration::MAX)
    });
    aged.call().await.unwrap();
}
