//! `tower-http`'s `FollowRedirect`. That a hop to another origin gets no token where the layer is
//! inside is in `tests/routing.rs`.

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as LegacyError;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_partner_auth::sandbox::{Answer, Endpoint};
use tower_partner_auth::{ReplayBody, RequestAuth, Route};

use crate::common::*;

const PARTNER_TOKEN: HeaderName = HeaderName::from_static("x-partner-token");

type Body = Full<Bytes>;
type Boxed = UnsyncBoxBody<Bytes, BoxError>;
type Sent = Request<ReplayBody<Body>>;

/// The wrong way round. `FollowRedirect` needs a body with a default, which `ReplayBody` has not, so
/// that it takes a boxed one to get there.
fn following_inside()
-> impl Service<Sent, Response = Response<Incoming>, Error = LegacyError> + Clone {
    ServiceBuilder::new()
        .map_request(|request: Sent| request.map(BodyExt::boxed_unsync))
        .layer(FollowRedirectLayer::new())
        .map_request(|request: Request<Boxed>| request.map(ReplayBody::once))
        .service(hyper())
}

/// An API that reads the token from a header of its own, and a layer that knows it.
async fn rig_with_a_header_of_its_own() -> Rig {
    let sandbox = Rig::start().await.sandbox;
    let pay = Endpoint::new(Method::GET, "/qr", "partner_payments").header(PARTNER_TOKEN);
    sandbox.add_endpoint(pay).unwrap();
    let url = format!("{}/qr", sandbox.origin());
    let route = Route::new(Method::GET, url, "partner_payments").header(PARTNER_TOKEN);
    let auth = layer(&sandbox, |builder| builder.route(route));
    Rig { sandbox, auth }
}

#[tokio::test]
async fn under_the_layer_a_header_of_ones_own_goes_on_to_another_origin() {
    let rig = rig_with_a_header_of_its_own().await;
    let foreign = Rig::start().await;
    for (inside, leaks) in [(true, true), (false, false)] {
        foreign.sandbox.clear_received();
        rig.sandbox.script_api([Answer::redirect(&foreign.url("/anything"))]);
        let request = rig.request(Method::GET, "/qr", "");
        let response = if inside {
            rig.auth.layer(following_inside()).oneshot(request).await
        } else {
            FollowRedirectLayer::new().layer(rig.auth.layer(hyper())).oneshot(request).await
        };
        assert_eq!(response.unwrap().status(), StatusCode::NOT_FOUND);
        let hop = &foreign.sandbox.received()[0];
        assert_eq!(hop.headers().contains_key(PARTNER_TOKEN), leaks, "inside: {inside}");
    }
}

/// The hop's 401 looks like one to the request, so that a good token is renewed, in vain.
#[tokio::test]
async fn under_the_layer_a_hop_to_another_route_has_the_first_routes_token() {
    for (inside, status, fetches) in
        [(true, StatusCode::UNAUTHORIZED, (2, 0)), (false, StatusCode::OK, (1, 1))]
    {
        let rig = Rig::start().await;
        let hop = || Answer::redirect("/payment-links");
        rig.sandbox.script_endpoint(Method::GET, MERCHANT_TEMPLATE, [hop(), hop()]);
        let request = rig.request(Method::GET, MERCHANT, "");
        let response = if inside {
            rig.auth.layer(following_inside()).oneshot(request).await
        } else {
            FollowRedirectLayer::new().layer(rig.auth.layer(hyper())).oneshot(request).await
        };
        assert_eq!(response.unwrap().status(), status, "inside: {inside}");
        let fetched = |text| rig.sandbox.token_requests_for(&scope(text));
        let fetched = (fetched("refer_merchant"), fetched("read_payment_links"));
        assert_eq!(fetched, fetches, "inside: {inside}");
    }
}

#[tokio::test]
async fn over_the_layer_a_choice_for_one_request_is_for_its_first_hop() {
    let rig = Rig::start().await;
    rig.sandbox.script_api([Answer::redirect("/payment-links")]);
    let mut request = rig.request(Method::GET, MERCHANT, "");
    request.extensions_mut().insert(RequestAuth::none());
    let client = FollowRedirectLayer::new().layer(rig.auth.layer(hyper::<Body>()));
    assert_eq!(client.oneshot(request).await.unwrap().status(), StatusCode::OK);
    let with_token: Vec<_> = rig.sandbox.received().iter().map(|r| r.has_credential()).collect();
    assert_eq!(with_token, [false, true]);
}
