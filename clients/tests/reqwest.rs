//! reqwest's client by way of `tower-reqwest`: for the API, and for token requests.

use std::error::Error as _;

use bytes::Bytes;
use clients::{Authority, Front};
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use reqwest::Body;
use reqwest::redirect::Policy;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_partner_auth::sandbox::{Answer, Endpoint, Sandbox};
use tower_partner_auth::{
    AuthOutcome, Builder, Error, PartnerAuthLayer, ReplayBody, Route, TokenErrorKind,
};
use tower_reqwest::HttpClientLayer;

const MERCHANT: &str = "/api/v1/merchants/7";
const MERCHANTS: &str = "/api/v3/merchants";
const CHAI: &str = r#"{"name":"Chai"}"#;
const PARTNER_TOKEN: HeaderName = HeaderName::from_static("x-partner-token");

/// A partner, and a layer that knows one more route of it: one with a header of its own.
struct World {
    sandbox: Sandbox,
    auth: PartnerAuthLayer,
}

impl World {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let pay = Endpoint::any("/qr", "partner_payments").header(PARTNER_TOKEN);
        sandbox.add_endpoint(pay).unwrap();
        let url = format!("{}/qr", sandbox.origin());
        let builder = PartnerAuthLayer::builder(sandbox.credentials())
            .environment(sandbox.environment())
            .route(Route::any(url, "partner_payments").header(PARTNER_TOKEN));
        let auth = configure(builder).build().unwrap();
        Self { sandbox, auth }
    }

    fn request(&self, method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
        let url = format!("{}{path}", self.sandbox.origin());
        Request::builder().method(method).uri(url).body(body.into()).unwrap()
    }

    async fn send(
        &self,
        client: reqwest::Client,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error<reqwest::Error>> {
        ServiceBuilder::new()
            .layer(&self.auth)
            .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::wrap))
            .layer(HttpClientLayer)
            .service(client)
            .oneshot(request)
            .await
    }
}

fn following(policy: Policy) -> reqwest::Client {
    // Another test of the process may have done so.
    let _ = default_provider().install_default();
    reqwest::Client::builder().redirect(policy).build().unwrap()
}

fn client() -> reqwest::Client {
    following(Policy::none())
}

/// reqwest's client for token requests.
fn for_tokens(
    client: reqwest::Client,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<Body>,
    Error = reqwest::Error,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .map_request(|request: Request<Full<Bytes>>| request.map(Body::wrap))
        .layer(HttpClientLayer)
        .service(client)
}

#[tokio::test]
async fn requests_get_their_token() {
    let world = World::new().await;
    for path in [MERCHANT, "/qr", MERCHANT] {
        let response = world.send(client(), world.request(Method::GET, path, "")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(world.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn a_rejected_request_is_replayed_with_its_body() {
    let world = World::new().await;
    world.send(client(), world.request(Method::GET, MERCHANT, "")).await.unwrap();
    world.sandbox.revoke_all();

    let request = world.request(Method::POST, MERCHANTS, CHAI);
    let response = world.send(client(), request).await.unwrap();

    assert!(response.status().is_success());
    assert!(response.extensions().get::<AuthOutcome>().unwrap().replayed());
    let sent = world.sandbox.received().split_off(1);
    assert_eq!(sent.len(), 2);
    for sent in sent {
        assert_eq!(sent.body().unwrap(), CHAI);
        assert_eq!(sent.content_length(), Some(CHAI.len() as u64));
    }
    assert_eq!(world.sandbox.token_requests(), 2);
}

#[tokio::test]
async fn a_stream_is_replayed_as_a_stream() {
    let world = World::new().await;
    world.send(client(), world.request(Method::GET, MERCHANT, "")).await.unwrap();
    world.sandbox.revoke_all();
    let (start, end) = CHAI.split_at(8);
    let frames = [start, end].map(|part| Ok::<_, reqwest::Error>(Frame::data(Bytes::from(part))));
    let body = Body::wrap(StreamBody::new(tokio_stream::iter(frames)));

    let request = world.request(Method::POST, MERCHANTS, body);
    let response = world.send(client(), request).await.unwrap();

    assert!(response.status().is_success());
    let sent = world.sandbox.received().split_off(1);
    assert_eq!(sent.len(), 2);
    for sent in sent {
        assert_eq!(sent.body().unwrap(), CHAI);
        assert_eq!((sent.content_length(), sent.transfer_encoding()), (None, Some("chunked")));
    }
}

/// What goes wrong with reqwest's default policy: it follows redirects out of the layer's sight.
#[tokio::test]
async fn left_to_itself_it_carries_a_header_of_ones_own_to_another_host() {
    let world = World::new().await;
    let foreign = World::new().await.sandbox;
    for (path, leaks) in [(MERCHANT, false), ("/qr", true)] {
        foreign.clear_received();
        let location = format!("{}/anything", foreign.origin());
        world.sandbox.script_api([Answer::redirect(&location)]);
        let request = world.request(Method::GET, path, "");
        let response = world.send(following(Policy::default()), request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let hop = &foreign.received()[0];
        // reqwest strips `Authorization`, and knows of no other header that it should.
        assert!(!hop.has_credential());
        assert_eq!(hop.headers().contains_key(PARTNER_TOKEN), leaks, "{path}");
    }
}

#[tokio::test]
async fn told_to_follow_none_it_leaves_redirects_to_a_layer_over_this_one() {
    let world = World::new().await;
    let foreign = World::new().await.sandbox;
    let location = format!("{}/anything", foreign.origin());
    world.sandbox.script_api([Answer::redirect(&location), Answer::redirect(&location)]);
    let request = || world.request(Method::GET, "/qr", "");

    let response = world.send(client(), request()).await.unwrap();
    assert_eq!((response.status(), foreign.api_requests()), (StatusCode::FOUND, 0));

    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(&world.auth)
        .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::wrap))
        .layer(HttpClientLayer)
        .service(client());
    let response = client.oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!foreign.received()[0].headers().contains_key(PARTNER_TOKEN));
}

#[tokio::test]
async fn its_own_errors_come_through() {
    let world = World::new().await;
    world.sandbox.script_api([Answer::reset()]);
    let request = world.request(Method::POST, MERCHANTS, CHAI);
    let error = world.send(client(), request).await.unwrap_err();
    let Error::Service(error) = error else { panic!("{error}") };
    assert!(error.is_request() && error.source().is_some());
    assert_eq!(world.sandbox.api_requests(), 1, "it may have been applied");
}

#[tokio::test]
async fn it_can_fetch_the_tokens_too() {
    let world = World::with(|builder| builder.http_client(for_tokens(client()))).await;
    let response = world.send(client(), world.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{"), "the answer's body is whole");
    assert_eq!(world.sandbox.token_requests(), 1);
}

#[tokio::test]
async fn a_bad_certificate_is_told_through_its_errors() {
    let authority = Authority::new("Ours");
    let world = World::new().await;
    let expired = authority.issue_expired("localhost");
    let front = Front::start(&expired, world.sandbox.origin()).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.root_der()).unwrap();
    let tls = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let with_tls = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    let auth = PartnerAuthLayer::builder(world.sandbox.credentials())
        .environment(world.sandbox.environment())
        .token_url(format!("{}/oauth/token", front.origin()))
        .http_client(for_tokens(with_tls))
        .build()
        .unwrap();
    let world = World { auth, ..world };

    let request = world.request(Method::GET, MERCHANT, "");
    let error = world.send(client(), request).await.unwrap_err();

    let error = error.as_token_error().unwrap();
    assert_eq!(error.kind(), TokenErrorKind::Certificate, "{error}");
    assert!(error.to_string().contains("localhost has expired"), "{error}");
    assert_eq!(front.accepted(), 1, "no retry");
}

/// The layer cannot see what its own client follows: here, to a server that nobody named.
#[tokio::test]
async fn as_token_client_it_has_to_follow_no_redirects() {
    for (policy, kind, asked) in [
        (Policy::none(), TokenErrorKind::Redirected, 0),
        (Policy::default(), TokenErrorKind::Status, 1),
    ] {
        let foreign = World::new().await.sandbox;
        let configure = |builder: Builder| builder.http_client(for_tokens(following(policy)));
        let world = World::with(configure).await;
        let location = format!("{}/oauth/elsewhere", foreign.origin());
        world.sandbox.script_token([Answer::redirect(&location)]);
        let request = world.request(Method::GET, MERCHANT, "");
        let error = world.send(client(), request).await.unwrap_err();
        assert_eq!(error.as_token_error().unwrap().kind(), kind);
        assert_eq!(foreign.api_requests(), asked, "{kind:?}");
    }
}
