//! Laws R1 and R3 to R6 over real connections, counted at the server.

mod common;

use std::convert::Infallible;

use bytes::Bytes;
use common::*;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as LegacyError;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_partner_auth::sandbox::{Answer, Endpoint};
use tower_partner_auth::{Error, ReplayBody, RequestAuth, Route, RouteErrorKind};

const PARTNER_TOKEN: HeaderName = HeaderName::from_static("x-partner-token");

type Sent = Request<ReplayBody<Full<Bytes>>>;

/// hyper-util's client, behind a look at what it is given.
fn expecting_authorization(
    credential: &'static str,
) -> impl Service<Sent, Response = Response<Incoming>, Error = LegacyError, Future: Send> + Clone {
    hyper().map_request(move |request: Sent| {
        assert_eq!(request.headers()[AUTHORIZATION], credential);
        request
    })
}

#[tokio::test]
async fn one_path_four_methods_three_scopes() {
    let rig = Rig::start().await;
    for (method, path) in [
        (Method::POST, "/payment-links"),
        (Method::GET, "/payment-links"),
        (Method::PUT, "/payment-links/INV-1"),
        (Method::DELETE, "/payment-links/INV-1/"),
    ] {
        let response = rig.send(rig.request(method.clone(), path, "")).await.unwrap();
        assert!(response.status().is_success(), "{method} {path}");
    }
    for links in ["create_payment_links", "read_payment_links", "update_payment_links"] {
        assert_eq!(rig.sandbox.token_requests_for(&scope(links)), 1, "{links}");
    }
}

#[tokio::test]
async fn a_request_without_a_route_goes_through_untouched() {
    let rig = Rig::start().await;
    let response = rig.get("/elsewhere").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(outcome(&response).is_none());
    assert!(!rig.sandbox.received()[0].has_credential());
    assert_eq!(rig.sandbox.token_requests(), 0);
}

#[tokio::test]
async fn a_strict_layer_refuses_it_with_an_error_that_says_what_to_do() {
    let rig = Rig::with(|builder| builder.strict()).await;
    let request = rig.request(Method::GET, "/elsewhere?key=s3cret", "");
    let error = rig.send(request).await.unwrap_err();
    let Error::Route(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), RouteErrorKind::NoRoute);
    let message = error.to_string();
    assert!(message.contains("/elsewhere") && message.contains("Route"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
    assert_eq!(rig.sandbox.api_requests(), 0);

    let mut request = rig.request(Method::GET, "/elsewhere", "");
    request.extensions_mut().insert(RequestAuth::none());
    assert_eq!(rig.send(request).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_goes_to_no_origin_that_no_route_names() {
    let rig = Rig::start().await;
    let foreign = Rig::start().await;
    rig.get(MERCHANT).await;
    // The same path on another port, by a `Host` header that lies, and by a chosen scope.
    let mut request = foreign.request(Method::GET, MERCHANT, "");
    let host = rig.sandbox.origin().strip_prefix("http://").unwrap().parse().unwrap();
    request.headers_mut().insert(HOST, host);
    assert_eq!(rig.send(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let mut request = foreign.request(Method::GET, MERCHANT, "");
    request.extensions_mut().insert(RequestAuth::scope("refer_merchant").unwrap());
    let error = rig.send(request).await.unwrap_err();
    assert!(matches!(error, Error::Route(error) if error.kind() == RouteErrorKind::ForeignOrigin));

    assert_eq!(foreign.sandbox.api_requests(), 1);
    assert!(foreign.sandbox.received().iter().all(|request| !request.has_credential()));
}

#[tokio::test]
async fn paths_that_can_be_read_in_two_ways_get_no_token() {
    let rig = Rig::start().await;
    for path in [
        "/api/v1/merchants/..",
        "/api/v1/merchants/%2e%2e",
        "/api/v1/merchants/a%2fb",
        "/api/v1/merchants/a%5Cb",
        "/api/v1/merchants/..;x",
    ] {
        rig.get(path).await;
        let mut request = rig.request(Method::GET, path, "");
        request.extensions_mut().insert(RequestAuth::scope("refer_merchant").unwrap());
        assert!(matches!(rig.send(request).await, Err(Error::Route(_))), "{path}");
    }
    assert!(rig.sandbox.received().iter().all(|request| !request.has_credential()));
    assert_eq!(rig.sandbox.token_requests(), 0);
}

#[tokio::test]
async fn inside_a_redirect_following_client_a_hop_to_another_origin_gets_no_token() {
    let rig = Rig::start().await;
    let foreign = Rig::start().await;
    rig.sandbox.script_api([Answer::redirect(&foreign.url(MERCHANT))]);
    let client = FollowRedirectLayer::new().layer(rig.auth.layer(hyper::<Full<Bytes>>()));
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(rig.sandbox.received()[0].has_credential());
    assert!(!foreign.sandbox.received()[0].has_credential());

    // A hop to another route of the same origin gets that route's token.
    rig.sandbox.script_api([Answer::redirect("/payment-links")]);
    let client = FollowRedirectLayer::new().layer(rig.auth.layer(hyper::<Full<Bytes>>()));
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests_for(&scope("read_payment_links")), 1);
}

#[tokio::test]
async fn a_request_with_its_own_credential_is_left_alone() {
    let rig = Rig::start().await;
    let mut request = rig.request(Method::POST, "/api/v1/merchants/7/verify_penny", "{}");
    request.headers_mut().insert(AUTHORIZATION, "Bearer a-users-token".parse().unwrap());
    let client = rig.auth.layer(expecting_authorization("Bearer a-users-token"));
    let response = client.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(outcome(&response).is_none());
    assert_eq!((rig.sandbox.api_requests(), rig.sandbox.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_request_without_room_for_another_header_goes_through() {
    let rig = Rig::start().await;
    for own in [true, false] {
        let mut request = rig.request(Method::GET, MERCHANT, "");
        let headers = request.headers_mut();
        if own {
            headers.insert(AUTHORIZATION, "Bearer a-users-token".parse().unwrap());
        }
        let name = |number: usize| HeaderName::try_from(format!("x-{number}")).unwrap();
        let full =
            (0..).find(|at| headers.try_insert(name(*at), HeaderValue::from_static("")).is_err());
        assert!(full.is_some_and(|names| names > 24_000));
        let inner = service_fn(move |sent: Sent| async move {
            assert_eq!(sent.headers().contains_key(AUTHORIZATION), own);
            Ok::<_, Infallible>(Response::new(()))
        });
        assert!(rig.auth.layer(inner).oneshot(request).await.is_ok());
    }
    assert_eq!(rig.sandbox.token_requests(), 0);
}

#[tokio::test]
async fn header_and_scheme_belong_to_the_route() {
    let sandbox = Rig::start().await.sandbox;
    for (path, scheme) in [("/qr", "Bearer"), ("/pos", "")] {
        let endpoint = Endpoint::new(Method::POST, path, "partner_payments");
        sandbox.add_endpoint(endpoint.header(PARTNER_TOKEN).scheme(scheme)).unwrap();
    }
    let auth = layer(&sandbox, |builder| {
        let route = |path: &str| {
            Route::new(Method::POST, format!("{}{path}", sandbox.origin()), "partner_payments")
                .header(PARTNER_TOKEN)
        };
        builder.routes([route("/qr"), route("/pos").scheme("")])
    });
    let rig = Rig { sandbox, auth };
    for path in ["/qr", "/pos"] {
        let mut request = rig.request(Method::POST, path, "");
        request.headers_mut().insert(AUTHORIZATION, "HMAC own-signature".parse().unwrap());
        let client = rig.auth.layer(expecting_authorization("HMAC own-signature"));
        assert_eq!(client.oneshot(request).await.unwrap().status(), StatusCode::OK, "{path}");
    }
    assert_eq!(rig.sandbox.token_requests(), 1, "one token in two forms");
}

#[tokio::test]
async fn a_route_of_ones_own_takes_precedence_over_the_environments_row() {
    let rig = Rig::start().await;
    let auth = layer(&rig.sandbox, |builder| {
        let url = rig.url(MERCHANT_TEMPLATE);
        builder.route(Route::new(Method::GET, url, "refer_merchant read_merchant_reseller"))
    });
    let request: Request<Full<Bytes>> = rig.request(Method::GET, MERCHANT, "");
    assert_eq!(auth.layer(hyper()).oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(rig.sandbox.token_requests_for(&scope("refer_merchant read_merchant_reseller")), 1);
}

#[tokio::test]
async fn every_use_case_is_authorised() {
    let rig = Rig::start().await;
    for row in tower_partner_auth::partner::USE_CASES {
        let path = row.path.replace(['{', '}'], "");
        let response = rig.send(rig.request(row.method.clone(), &path, "")).await.unwrap();
        assert!(response.status().is_success(), "{} {path}: {}", row.method, response.status());
    }
}
