//! Laws J1, J2, J4, J5, J6 and J7 over real connections, counted at the server.

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::sandbox::{Answer, BodyEnd, Endpoint, ExpiresIn, RejectionStyle};
use tower_partner_auth::{
    AuthOutcome, ClientCredentials, OnUnauthorized, PartnerAuthLayer, Rejection, ReplayBody,
    RequestAuth, Route, TokenRequest, TokenResponse, Verdict,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_that_meet_a_revoked_token_cost_one_fetch_and_end_as_fifty_200s() {
    let rig = Rig::start().await;
    assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 1);

    rig.sandbox.revoke_all();
    let statuses = rig.herd(50, MERCHANT).await;

    assert_eq!(statuses, [StatusCode::OK; 50]);
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewals_that_take_their_time_are_joined() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.token_delay(Duration::from_millis(200));
    rig.sandbox.revoke_all();
    assert_eq!(rig.herd(50, MERCHANT).await, [StatusCode::OK; 50]);
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn a_newer_token_is_replayed_with_and_nothing_is_fetched() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    // Given a call under way with the first token, which is revoked meanwhile …
    rig.sandbox.api_delay(Duration::from_millis(300));
    rig.sandbox.script_endpoint(
        Method::POST,
        MERCHANTS,
        [Answer::status(401).after(Duration::from_millis(300))],
    );
    let slow = tokio::spawn({
        let client = rig.auth.layer(hyper());
        client.oneshot(rig.request(Method::POST, MERCHANTS, "{}"))
    });
    rig.sandbox.until(|sandbox| sandbox.api_requests() == 2).await;
    rig.sandbox.api_delay(Duration::ZERO);
    rig.sandbox.revoke_all();
    // … and renewed by another.
    assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 2);

    let response = slow.await.unwrap().unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert!(outcome(&response).is_some_and(AuthOutcome::replayed));
    assert_eq!(rig.sandbox.token_requests(), 2, "the newer token was there");
}

#[tokio::test]
async fn a_request_is_replayed_once_and_the_second_answer_is_the_callers() {
    let rig = Rig::start().await;
    rig.sandbox.reject_always(Method::GET, MERCHANT_TEMPLATE);

    let response = rig.get(MERCHANT).await;

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(matches!(rejection(&response), Rejection::FreshTokenRejected));
    assert!(outcome(&response).is_some_and(AuthOutcome::replayed));
    assert_eq!(rig.sandbox.api_requests(), 2);
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_apis_own_401_intact() {
    let rig = Rig::with(|builder| builder.token_retries(0)).await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.script_token([Answer::status(503)]);

    let response = rig.get(MERCHANT).await;

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(
        matches!(rejection(&response), Rejection::RenewalFailed(error) if error.is_transient())
    );
    assert_eq!(text(response).await, r#"{"status":"Unauthorized"}"#);
    assert_eq!(rig.sandbox.api_requests(), 2, "not replayed");
}

#[tokio::test]
async fn a_server_that_gives_the_rejected_token_again_ends_it() {
    let rig = Rig::start().await;
    rig.sandbox.reuse_tokens(true);
    rig.sandbox.reject_always(Method::GET, MERCHANT_TEMPLATE);
    let response = rig.get(MERCHANT).await;
    assert!(matches!(rejection(&response), Rejection::SameToken));
    assert_eq!((rig.sandbox.token_requests(), rig.sandbox.api_requests()), (2, 1));
    let response = rig.get(MERCHANT).await;
    assert!(matches!(rejection(&response), Rejection::RecentlyInVain));
    assert_eq!((rig.sandbox.token_requests(), rig.sandbox.api_requests()), (2, 2));
}

#[tokio::test]
async fn insufficient_scope_and_other_refusals_never_renew() {
    for (answer, scope_lacks) in [
        (
            Answer::status(401).header("www-authenticate", "Bearer error=\"insufficient_scope\""),
            true,
        ),
        (Answer::status(403), false),
        (Answer::status(403).header("www-authenticate", "Bearer error=\"invalid_token\""), false),
        (Answer::status(404), false),
        (Answer::status(422), false),
        (Answer::status(400), false),
    ] {
        let rig = Rig::start().await;
        rig.sandbox.script_api([answer]);
        let response = rig.get(MERCHANT).await;
        assert!(response.status().is_client_error());
        let told = outcome(&response).and_then(AuthOutcome::rejection);
        assert_eq!(matches!(told, Some(Rejection::InsufficientScope)), scope_lacks);
        assert_eq!((rig.sandbox.token_requests(), rig.sandbox.api_requests()), (1, 1));
    }
}

#[tokio::test]
async fn a_401_renews_in_every_style_of_the_partner() {
    for style in [RejectionStyle::Partner, RejectionStyle::Doorkeeper, RejectionStyle::PaymentLinks]
    {
        let rig = Rig::start().await;
        rig.sandbox.rejection_style(style);
        rig.get(MERCHANT).await;
        rig.sandbox.revoke_all();
        assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK, "{style:?}");
        assert_eq!(rig.sandbox.token_requests(), 2, "{style:?}");
    }
}

#[tokio::test]
async fn a_classifier_says_otherwise() {
    let rig = Rig::with(|builder| builder).await;
    let url = format!("{}/own", rig.sandbox.origin());
    rig.sandbox.add_endpoint(Endpoint::new(Method::GET, "/own", "own")).unwrap();
    rig.sandbox.script_endpoint(Method::GET, "/own", [Answer::status(403)]);
    let auth = layer(&rig.sandbox, |builder| {
        builder.route(Route::new(Method::GET, url, "own").classify(
            |status, headers| match status {
                StatusCode::FORBIDDEN => Verdict::TokenRejected,
                _ => Verdict::of(status, headers),
            },
        ))
    });
    let response = auth.layer(hyper()).oneshot(rig.request(Method::GET, "/own", "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn renew_hands_the_401_out_and_renews_for_later_calls() {
    // The partner's e-sign route: a wrong one-time password is a 401, and a replay would spend another try.
    let rig = Rig::start().await;
    let esign = "/v3/merchants/1/agreements/2/esign";
    rig.sandbox.script_api([Answer::status(401), Answer::status(401), Answer::status(401)]);
    for tries in 1..=3 {
        let response = rig.send(rig.request(Method::POST, esign, "otp")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(rig.sandbox.api_requests(), tries, "never replayed");
        let renewed = rig.sandbox.until(|sandbox| sandbox.token_requests() == 2);
        tokio::time::timeout(Duration::from_secs(5), renewed).await.expect("one renewal");
        // Long enough for the new token to be in its place before the next try.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(rig.sandbox.token_requests(), 2, "three wrong passwords cost one fetch");
    assert_eq!(rig.send(rig.request(Method::POST, esign, "otp")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn leave_does_nothing() {
    let rig = Rig::start().await;
    let auth = layer(&rig.sandbox, |builder| {
        let url = format!("{}{MERCHANT_TEMPLATE}", rig.sandbox.origin());
        let route = Route::new(Method::GET, url, "refer_merchant");
        builder.route(route.on_unauthorized(OnUnauthorized::Leave))
    });
    rig.sandbox.reject_always(Method::GET, MERCHANT_TEMPLATE);
    let response =
        auth.layer(hyper()).oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert!(matches!(rejection(&response), Rejection::Policy));
    assert_eq!((rig.sandbox.token_requests(), rig.sandbox.api_requests()), (1, 1));
}

#[tokio::test]
async fn the_replay_has_the_same_bytes_length_and_headers() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.clear_received();
    let body = Bytes::from(vec![7; 60_000]);
    let mut request = rig.request(Method::POST, MERCHANTS, body.clone());
    request.headers_mut().insert("x-own", "kept".parse().unwrap());

    let response = rig.send(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    let received = rig.sandbox.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.body(), Some(&body));
        assert_eq!(request.content_length(), Some(60_000));
        assert_eq!(request.headers()["x-own"], "kept");
        assert!(request.complete());
    }
}

#[tokio::test]
async fn a_chunked_body_with_trailers_is_replayed_as_one() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.clear_received();
    let (mut sender, body) = channel();
    let request = rig.request(Method::POST, MERCHANTS, "").map(|_| body);
    let call = tokio::spawn(rig.auth.layer(hyper_h2()).oneshot(request));
    for part in ["one ", "two ", "three"] {
        sender.send_data(Bytes::from(part)).await.unwrap();
    }
    let trailers = [("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);

    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);

    let received = rig.sandbox.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.body().map(|body| &body[..]), Some(&b"one two three"[..]));
        assert_eq!(request.content_length(), None);
        assert_eq!(request.trailers().expect("trailers")["x-sum"], "7");
    }
}

/// An upload that is under way when its 401 comes, over one of the two protocols.
async fn early_401(http2: bool) {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.clear_received();
    rig.sandbox.reject_early(true);
    let (mut sender, body) = channel();
    let request = rig.request(Method::POST, MERCHANTS, "").map(|_| body);
    let client = if http2 { hyper_h2() } else { hyper() };
    let call = tokio::spawn(rig.auth.layer(client).oneshot(request));
    sender.send_data(Bytes::from_static(b"first half, ")).await.unwrap();
    // The first attempt is rejected and superseded while its connection waits for the rest.
    rig.sandbox
        .until(|sandbox| sandbox.received().iter().any(|r| r.body_end() == BodyEnd::Aborted))
        .await;
    sender.send_data(Bytes::from_static(b"second half")).await.unwrap();
    drop(sender);

    let response = call.await.unwrap().unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    let received = rig.sandbox.received();
    assert_eq!(received.len(), 2);
    let whole: Vec<_> = received.iter().filter(|request| request.complete()).collect();
    assert_eq!(whole.len(), 1, "the superseded upload has no clean end");
    assert_eq!(whole[0].body().map(|body| &body[..]), Some(&b"first half, second half"[..]));
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn an_early_401_takes_the_stream_back_from_http1() {
    early_401(false).await;
}

#[tokio::test]
async fn an_early_401_takes_the_stream_back_from_http2() {
    early_401(true).await;
}

#[tokio::test]
async fn a_body_past_the_limit_is_sent_whole_and_its_401_handed_out() {
    let rig = Rig::with(|builder| builder.replay_limit(1_000)).await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.clear_received();
    let body = Bytes::from(vec![7; 1_001]);

    let response = rig.send(rig.request(Method::POST, MERCHANTS, body.clone())).await.unwrap();

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(matches!(rejection(&response), Rejection::BodyTooLong));
    let received = rig.sandbox.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body(), Some(&body));
    // Renewed for the next call.
    rig.sandbox.until(|sandbox| sandbox.token_requests() == 2).await;
    assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn a_rejected_token_that_never_expires_is_renewed_as_well() {
    let rig = Rig::start().await;
    rig.sandbox.expires_in(ExpiresIn::Absent);
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    assert_eq!(rig.get(MERCHANT).await.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn the_answer_of_a_replay_is_whole() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    let response = rig.send(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["use_case"], "Get Merchant");
}

#[tokio::test(start_paused = true)]
async fn rejections_during_a_slow_renewal_behind_share_it() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let source = service_fn({
        let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
        move |_: TokenRequest| {
            let number = begun.fetch_add(1, Ordering::SeqCst);
            let ended = Arc::clone(&ended);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                ended.fetch_add(1, Ordering::SeqCst);
                TokenResponse::new(format!("token-{number}"))
            }
        }
    });
    let route =
        Route::any("https://api.example.com/otp", "otp").on_unauthorized(OnUnauthorized::Renew);
    let auth = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
        .token_url("https://accounts.example.com/oauth/token")
        .route(route)
        .token_source(source)
        .build()
        .unwrap();
    let api = service_fn(|_: Request<ReplayBody<String>>| async {
        Ok::<_, Infallible>(Response::builder().status(401).body(()).unwrap())
    });
    for _ in 0..3 {
        let request = Request::post("https://api.example.com/otp").body(String::new()).unwrap();
        let response = auth.layer(api).oneshot(request).await.unwrap();
        assert!(matches!(rejection(&response), Rejection::Policy));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2, "the first token, and one renewal");
    assert_eq!(ended.load(Ordering::SeqCst), 2, "none of them was given up");
}

#[tokio::test]
async fn rejections_while_the_token_server_asks_for_rest_cost_no_fetch_each() {
    let rig = Rig::with(|builder| builder.token_retries(0)).await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.script_token([Answer::status(503).header("retry-after", "60")]);
    for _ in 0..20 {
        let response = rig.get(MERCHANT).await;
        assert!(matches!(rejection(&response), Rejection::RenewalFailed(_)));
    }
    assert_eq!(rig.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn a_body_past_the_limit_takes_no_renewal_from_the_others() {
    let rig = Rig::with(|builder| builder.replay_limit(1_000)).await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    rig.sandbox.token_delay(Duration::from_millis(200));
    let long = rig.send(rig.request(Method::POST, MERCHANTS, vec![7; 2_000])).await.unwrap();
    assert_eq!(long.status(), StatusCode::UNAUTHORIZED);
    // While the renewal is under way: joined.
    let short = rig.send(rig.request(Method::POST, MERCHANTS, "short")).await.unwrap();
    assert_eq!(short.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 2);
    // And the token that it brought is renewed in its turn.
    rig.sandbox.revoke_all();
    let short = rig.send(rig.request(Method::POST, MERCHANTS, "short")).await.unwrap();
    assert_eq!(short.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 3);
}

#[tokio::test]
async fn what_a_route_remembers_is_of_one_scope() {
    let rig = Rig::start().await;
    let chosen = |path: &str, scope: &str| {
        let mut request = rig.request(Method::GET, path, "");
        request.extensions_mut().insert(RequestAuth::scope(scope).unwrap());
        rig.send(request)
    };
    rig.sandbox.script_api([Answer::status(401), Answer::status(401)]);
    let response = chosen("/elsewhere", "refer_merchant").await.unwrap();
    assert!(matches!(rejection(&response), Rejection::FreshTokenRejected));
    rig.sandbox.script_api([Answer::status(401)]);
    let response = chosen("/elsewhere", "read_payment_links").await.unwrap();
    assert!(outcome(&response).is_some_and(AuthOutcome::replayed), "renewed and sent again");
}

#[tokio::test]
async fn a_rejected_token_serves_other_routes_while_it_is_renewed() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.token_delay(Duration::from_secs(2));
    rig.sandbox.script_endpoint(Method::GET, MERCHANT_TEMPLATE, [Answer::status(401)]);
    let rejected =
        tokio::spawn(rig.auth.layer(hyper()).oneshot(rig.request(Method::GET, MERCHANT, "")));
    rig.sandbox.until(|sandbox| sandbox.token_requests() == 2).await;

    let other = rig.send(rig.request(Method::POST, MERCHANTS, "")).await.unwrap();

    assert_eq!(other.status(), StatusCode::OK);
    assert!(outcome(&other).is_none(), "neither waited nor replayed");
    assert!(!rejected.is_finished(), "the renewal is under way yet");
    assert_eq!(rejected.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests(), 2);
}
