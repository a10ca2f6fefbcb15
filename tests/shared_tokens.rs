//! Laws T5, J1 and J4 where a token is not one process's own: the server gives it to others too, or
//! revokes it as soon as another gets the next.

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::scripted::{SECOND, Scripted, TokenServer, auth_with, call, request};
use common::*;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::sandbox::Answer;
use tower_partner_auth::{
    AuthOutcome, PartnerAuthLayer, Rejection, ReplayBody, TokenRequest, TokenResponse,
};

const MILLISECOND: Duration = Duration::from_millis(1);

// === Servers that give a token again ===

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_the_same_token_until_its_end_is_not_hammered_and_then_goes_on() {
    // The same string at every renewal, as a reusing server does; a new one after the end.
    let same = r#"{"access_token":"same","token_type":"Bearer","expires_in":100}"#;
    let calls = Scripted::new(TokenServer::answering(same));
    calls.call().await.unwrap();
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(99)).await;
        calls.call().await.unwrap();
    }
    assert!(calls.tokens.requests() < 20, "{} requests", calls.tokens.requests());
    let before = calls.tokens.requests();
    tokio::time::sleep(2 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), before + 1, "past its end, the token is asked for anew");
    tokio::time::sleep(20 * SECOND).await;
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), before + 1, "and has a life again");
}

/// A token server that has one token until `end`, and another after it.
#[derive(Clone)]
struct Reusing {
    end: Instant,
    /// How long its answers are on the way.
    delay: Duration,
    requests: Arc<AtomicUsize>,
}

impl Reusing {
    fn until(end: Instant) -> Self {
        Self { end, delay: Duration::ZERO, requests: Arc::default() }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn layer(&self) -> PartnerAuthLayer {
        let this = self.clone();
        auth_with(move |_: TokenRequest| {
            let delay = this.delay;
            this.requests.fetch_add(1, Ordering::SeqCst);
            let left = this.end.saturating_duration_since(Instant::now());
            let (token, life) =
                if left.is_zero() { ("new", 7_200 * SECOND) } else { ("same", left) };
            // Rounded to whole seconds, as Doorkeeper does.
            let life = Duration::from_secs((life + SECOND / 2).as_secs());
            async move {
                tokio::time::sleep(delay).await;
                Ok(TokenResponse::new(token)?.with_expires_in(life))
            }
        })
    }

    /// One call to an API that accepts what is good at the token server when the call arrives,
    /// `way` after it was sent.
    async fn call(&self, auth: &PartnerAuthLayer, way: Duration) -> Response<()> {
        let end = self.end;
        let api = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
            tokio::time::sleep(way).await;
            let dead = request.headers()[AUTHORIZATION] == "Bearer same" && Instant::now() >= end;
            let status = if dead { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
        });
        auth.layer(api).oneshot(request()).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_seconds_of_a_reused_token_cost_three_token_requests_a_second() {
    // The token is met first with five seconds left, or has been known for long.
    for known_for in [0, 95, 7_195] {
        // Given
        let server = Reusing::until(Instant::now() + (known_for + 5) * SECOND);
        let auth = server.layer();
        if known_for > 0 {
            call(&auth).await.unwrap();
        }
        tokio::time::sleep(known_for * SECOND).await;
        for second in 0..5 {
            let before = server.requests();
            // When
            for _ in 0..200 {
                call(&auth).await.unwrap();
                tokio::time::sleep(5 * MILLISECOND).await;
            }
            // Then
            let spent = server.requests() - before;
            assert!(spent <= 3, "{spent} in second {second}, known for {known_for} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_given_again_after_its_end_is_not_taken_for_a_newer_one() {
    // Given a token that lives a little longer at the server than is known of it,
    let server = Reusing::until(Instant::now() + 2_100 * MILLISECOND);
    let auth = server.layer();
    call(&auth).await.unwrap();
    tokio::time::sleep(1_900 * MILLISECOND).await;
    // and a call that is on its way with it when both ends come,
    let slow = tokio::spawn({
        let (server, auth) = (server.clone(), auth.clone());
        async move { server.call(&auth, 300 * MILLISECOND).await }
    });
    // when the server gives it again between the two,
    tokio::time::sleep(150 * MILLISECOND).await;
    call(&auth).await.unwrap();
    // then the slow call is not sent again with what was rejected.
    let response = slow.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", outcome(&response));
    assert!(server.end.elapsed() < 410 * MILLISECOND, "it was renewed at once");
    assert_eq!(server.requests(), 4, "at first, at the hard edge, at the end, rejected");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_sent_before_the_rejection_does_not_speak_for_the_server() {
    // Given a renewal that brings the old token again, and is on its way back,
    let mut server = Reusing::until(Instant::now() + 2_100 * MILLISECOND);
    server.delay = 200 * MILLISECOND;
    let auth = server.layer();
    call(&auth).await.unwrap();
    tokio::time::sleep_until(server.end - 150 * MILLISECOND).await;
    // when that token is rejected meanwhile,
    let response = server.call(&auth, 150 * MILLISECOND).await;
    // then the server is asked once more.
    assert_eq!(response.status(), StatusCode::OK, "{:?}", outcome(&response));
    assert_eq!(server.requests(), 3);
}

// === Servers that revoke the previous token ===

/// A token server that knows only its newest token, with an API, and what they have counted.
#[derive(Clone, Default)]
struct Revoking {
    token_requests: Arc<AtomicUsize>,
    api_requests: Arc<AtomicUsize>,
    rejections: Arc<AtomicUsize>,
}

impl Revoking {
    fn layer(&self) -> PartnerAuthLayer {
        let this = self.clone();
        auth_with(move |_: TokenRequest| {
            let number = this.token_requests.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                tokio::time::sleep(20 * MILLISECOND).await;
                TokenResponse::new(format!("token-{number}"))
            }
        })
    }

    /// One call to the API, 5 ms away.
    async fn call(self, auth: PartnerAuthLayer) -> Response<()> {
        let api = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| {
            let this = self.clone();
            async move {
                tokio::time::sleep(5 * MILLISECOND).await;
                this.api_requests.fetch_add(1, Ordering::SeqCst);
                let newest = format!("Bearer token-{}", this.token_requests.load(Ordering::SeqCst));
                let good = request.headers()[AUTHORIZATION] == newest;
                let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                this.rejections.fetch_add(usize::from(!good), Ordering::SeqCst);
                tokio::time::sleep(5 * MILLISECOND).await;
                Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
            }
        });
        auth.layer(api).oneshot(request()).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn two_layers_that_revoke_each_others_tokens_under_load_both_get_through() {
    // Given
    let server = Revoking::default();
    let layers = [server.layer(), server.layer()];
    // When
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        for auth in &layers {
            calls.spawn(server.clone().call(auth.clone()));
        }
        tokio::time::sleep(10 * MILLISECOND).await;
    }
    // Then
    for response in calls.join_all().await {
        assert_eq!(response.status(), StatusCode::OK, "{:?}", outcome(&response));
    }
    let [token_requests, api_requests, rejections] =
        [&server.token_requests, &server.api_requests, &server.rejections]
            .map(|count| count.load(Ordering::SeqCst));
    assert!(rejections > 0, "the test tests something");
    assert_eq!(api_requests, 2_000 + rejections, "each is sent twice at most");
    assert!(token_requests <= 2 + rejections, "{token_requests} for {rejections} rejections");
    // Each lets the other have a quarter of a second.
    let possible = 2 + begin.elapsed().as_millis() as usize / 250;
    assert!(token_requests <= possible, "{token_requests} of {possible}");
}

#[tokio::test]
async fn among_rivals_a_rejected_fresh_token_says_little_of_the_route() {
    // Given a token that was revoked before its time,
    let rig = Rig::start().await;
    let call = async || {
        let response = rig.get(MERCHANT).await;
        let why = outcome(&response).and_then(AuthOutcome::rejection).map(ToString::to_string);
        (response.status().as_u16(), why.unwrap_or_default())
    };
    let reject = |answers| rig.sandbox.script_api(vec![Answer::status(401); answers]);
    let fresh = (401, Rejection::FreshTokenRejected.to_string());
    assert_eq!(call().await.0, 200);
    rig.sandbox.revoke_all();
    assert_eq!(call().await.0, 200);
    // when the next one is lost, and so is the one after it,
    reject(2);
    assert_eq!(call().await, fresh);
    // then the route is not blamed,
    rig.sandbox.revoke_all();
    assert_eq!(call().await.0, 200);
    // until it has rejected three in a row.
    reject(6);
    for _ in 0..3 {
        assert_eq!(call().await, fresh);
    }
    reject(1);
    assert_eq!(call().await, (401, Rejection::RecentlyInVain.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_dies_young_leaves_its_rival_a_head_start_and_an_older_one_does_not() {
    for (age, pause) in [(0, 250..=501), (1, 0..=0)] {
        // Given
        let requests = Arc::new(AtomicUsize::new(0));
        let auth = auth_with(move |_: TokenRequest| {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            async move { TokenResponse::new(format!("token-{number}")) }
        });
        auth.prewarm().await.into_result().unwrap();
        tokio::time::sleep(age * SECOND).await;
        let revoked = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
            let status = match request.headers()[AUTHORIZATION] == "Bearer token-0" {
                true => StatusCode::UNAUTHORIZED,
                false => StatusCode::OK,
            };
            Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
        });
        // When
        let start = Instant::now();
        let response = auth.layer(revoked).oneshot(request()).await.unwrap();
        // Then
        assert_eq!(response.status(), StatusCode::OK);
        let waited = start.elapsed().as_millis();
        assert!(pause.contains(&waited), "{waited} ms at an age of {age} s");
    }
}
