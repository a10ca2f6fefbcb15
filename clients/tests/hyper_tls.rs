//! hyper-util's client over TLS, and what becomes of bad certificates: connections and token
//! requests are counted at the servers.

use bytes::Bytes;
use clients::{Authority, Front, Identity};
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{Empty, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tower::{BoxError, Layer, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_partner_auth::sandbox::{Answer, Sandbox};
use tower_partner_auth::{
    Builder, Environment, Error, PartnerAuthLayer, TokenError, TokenErrorKind,
};

const MERCHANT: &str = "/api/v1/merchants/7";

type ClientError = Error<hyper_util::client::legacy::Error>;

/// A partner behind TLS, its API on one origin and its token endpoint on another, and an authority.
struct World {
    authority: Authority,
    sandbox: Sandbox,
    api: Front,
    tokens: Front,
}

impl World {
    async fn new() -> Self {
        let authority = Authority::new("Ours");
        let good = authority.issue("localhost");
        Self::with(&authority, &good, &good).await
    }

    /// With these certificates at the token endpoint, and at the API.
    async fn with(authority: &Authority, tokens: &Identity, api: &Identity) -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let tokens = Front::start(tokens, sandbox.origin()).await.unwrap();
        let api = Front::start(api, sandbox.origin()).await.unwrap();
        Self { authority: authority.clone(), sandbox, api, tokens }
    }

    fn auth(&self, configure: impl FnOnce(Builder) -> Builder) -> PartnerAuthLayer {
        let builder = PartnerAuthLayer::builder(self.sandbox.credentials())
            .environment(Environment::at(self.api.origin()))
            .token_url(format!("{}/oauth/token?tenant=s3cret", self.tokens.origin()));
        configure(builder).build().unwrap()
    }

    /// hyper-util's client, which trusts the authority.
    fn hyper<B>(&self) -> Client<HttpsConnector<HttpConnector>, B>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.root_der()).unwrap();
        let tls = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Client::builder(TokioExecutor::new()).build(https)
    }

    async fn call(&self, auth: &PartnerAuthLayer) -> Result<StatusCode, ClientError> {
        let request = Request::get(format!("{}{MERCHANT}", self.api.origin()));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        Ok(auth.layer(self.hyper()).oneshot(request).await?.status())
    }

    async fn token_error(&self, auth: &PartnerAuthLayer) -> TokenError {
        let error = self.call(auth).await.unwrap_err();
        error.as_token_error().unwrap_or_else(|| panic!("another error: {error}")).clone()
    }
}

fn assert_certificate(error: &TokenError, says: &str) {
    let message = error.to_string();
    assert_eq!(error.kind(), TokenErrorKind::Certificate, "{message}");
    assert!(!error.is_transient());
    assert!(message.contains("the certificate of localhost"), "{message}");
    assert!(message.contains(says), "{says:?} is not in: {message}");
    assert!(!message.contains("s3cret"), "{message}");
}

fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(|error| format!("{error}; ")).collect()
}

/// Every bad certificate, and what is said of it.
fn bad_ones(authority: &Authority) -> [(Identity, &'static str); 5] {
    [
        (authority.issue_expired("localhost"), "expired (on Tue, 01 Jan 2002"),
        (authority.issue_for_later("localhost"), "not valid yet (before Sat, 01 Jan 4000"),
        (Identity::self_signed("localhost"), "unknown authority, or by itself"),
        (Authority::new("Another").issue("localhost"), "unknown authority"),
        (authority.issue("elsewhere.example.com"), "another name"),
    ]
}

#[tokio::test]
async fn with_the_authoritys_root_certificate_both_ends_are_trusted() {
    let world = World::new().await;
    let auth = world.auth(|builder| builder.token_root_certificates(world.authority.root()));
    assert_eq!(world.call(&auth).await.unwrap(), StatusCode::OK);
    assert_eq!(world.call(&auth).await.unwrap(), StatusCode::OK);
    assert_eq!(world.sandbox.token_requests(), 1);
    assert!(world.sandbox.received().iter().all(|request| request.has_credential()));
}

#[tokio::test]
async fn a_bad_certificate_at_the_token_endpoint_is_said_once_and_not_tried_again() {
    let authority = Authority::new("Ours");
    for (bad, says) in bad_ones(&authority) {
        let good = authority.issue("localhost");
        let world = World::with(&authority, &bad, &good).await;
        let auth = world.auth(|builder| builder.token_root_certificates(authority.root()));

        let error = world.token_error(&auth).await;

        assert_certificate(&error, says);
        assert_eq!(world.tokens.accepted(), 1, "no retry: {says}");
        // Nor does the next call try, which comes within seconds.
        assert_certificate(&world.token_error(&auth).await, says);
        assert_eq!((world.tokens.accepted(), world.api.accepted()), (1, 0), "{says}");
        assert_eq!(world.sandbox.token_requests(), 0, "the secret stayed here: {says}");
    }
}

#[tokio::test]
async fn so_it_is_with_an_http_client_of_ones_own() {
    let authority = Authority::new("Ours");
    let good = authority.issue("localhost");
    let expired = authority.issue_expired("localhost");
    let world = World::with(&authority, &expired, &good).await;
    let auth = world.auth(|builder| builder.http_client(world.hyper::<Full<Bytes>>()));
    assert_certificate(&world.token_error(&auth).await, "expired");
    assert_eq!((world.tokens.accepted(), world.sandbox.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_private_authority_that_was_not_given_is_unknown() {
    let world = World::new().await;
    let auth = world.auth(|builder| builder);
    assert_certificate(&world.token_error(&auth).await, "token_root_certificates");
    assert_eq!(world.tokens.accepted(), 1);
}

#[tokio::test]
async fn what_is_no_matter_of_the_certificate_is_tried_again() {
    let world = World::new().await;
    world.sandbox.script_token([Answer::reset(), Answer::reset()]);
    let auth = world.auth(|builder| builder.token_root_certificates(world.authority.root()));
    assert_eq!(world.call(&auth).await.unwrap(), StatusCode::OK);
    assert_eq!(world.sandbox.token_requests(), 3);
}

#[tokio::test]
async fn a_bad_certificate_at_the_api_is_the_clients_own_error() {
    let authority = Authority::new("Ours");
    for (bad, says) in bad_ones(&authority) {
        let good = authority.issue("localhost");
        let world = World::with(&authority, &good, &bad).await;
        let auth = world.auth(|builder| builder.token_root_certificates(authority.root()));

        let error = world.call(&auth).await.unwrap_err();

        let Error::Service(service) = &error else { panic!("{says}: {error}") };
        assert!(service.is_connect(), "{says}");
        assert!(causes(service).contains("invalid peer certificate"), "{says}");
        assert_eq!(error.is_transient(), None, "not judged");
        assert_eq!((world.api.accepted(), world.sandbox.api_requests()), (1, 0), "{says}");
        assert_eq!(world.sandbox.token_requests(), 1);
    }
}

#[tokio::test]
async fn a_token_server_that_redirects_elsewhere_gets_the_secret_sent_nowhere_else() {
    let world = World::new().await;
    let elsewhere = World::new().await;
    let location = format!("{}/oauth/token", elsewhere.tokens.origin());
    for status in [302, 307, 308] {
        world.sandbox.script_token([Answer::redirect(&location).with_status(status)]);
        let auth = world.auth(|builder| builder.http_client(world.hyper::<Full<Bytes>>()));
        let error = world.token_error(&auth).await;
        assert_eq!(error.kind(), TokenErrorKind::Redirected, "{status}: {error}");
        assert!(!error.is_transient());
    }
    assert_eq!(world.sandbox.token_requests(), 3);
    assert_eq!(elsewhere.tokens.accepted(), 0);
}

/// What goes wrong with a client that follows redirects: what it sends on is not in the layer's hand.
#[tokio::test]
async fn a_following_http_client_asks_a_server_that_nobody_named() {
    let world = World::new().await;
    let elsewhere = Sandbox::start().await.unwrap();
    let front =
        Front::start(&world.authority.issue("localhost"), elsewhere.origin()).await.unwrap();
    let location = format!("{}/elsewhere", front.origin());
    world.sandbox.script_token([Answer::redirect(&location)]);
    let following = FollowRedirectLayer::new().layer(world.hyper::<Full<Bytes>>());
    let auth = world.auth(|builder| builder.http_client(following));
    assert_eq!(world.token_error(&auth).await.kind(), TokenErrorKind::Status);
    let hop = &elsewhere.received()[0];
    assert_eq!((hop.method(), hop.body_bytes()), (&http::Method::GET, 0));
}
