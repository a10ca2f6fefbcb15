//! One fixture for the tests that go over real connections: the sandbox, a layer for it, a client.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod scratch;
pub(crate) mod scripted;
#[cfg(feature = "store")]
pub(crate) mod shared_store;

use std::convert::Infallible;
use std::error::Error as StdError;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{BoxError, Layer, ServiceExt};
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::{
    AuthOutcome, Builder, Error, PartnerAuth, PartnerAuthLayer, Rejection, ReplayBody, Scope,
};

/// The route that most tests call: `refer_merchant` is its scope.
pub(crate) const MERCHANT: &str = "/api/v1/merchants/8391017";
pub(crate) const MERCHANT_TEMPLATE: &str = "/api/v1/merchants/{mid}";
/// Another route of the same scope, for bodies.
pub(crate) const MERCHANTS: &str = "/api/v3/merchants";

pub(crate) type Hyper<B> = Client<HttpConnector, ReplayBody<B>>;
pub(crate) type ClientError = Error<hyper_util::client::legacy::Error>;

/// The sandbox, and a layer that is built for it.
pub(crate) struct Rig {
    pub(crate) sandbox: Sandbox,
    pub(crate) auth: PartnerAuthLayer,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let sandbox = Sandbox::start().await.expect("a free port on loopback");
        let auth = layer(&sandbox, configure);
        Self { sandbox, auth }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.origin())
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method).uri(self.url(path));
        request.body(Full::new(body.into())).expect("a valid request")
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        self.auth.layer(hyper()).oneshot(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Incoming> {
        self.send(self.request(Method::GET, path, "")).await.expect("an answer")
    }

    /// `calls` calls at once through one client; their statuses.
    pub(crate) async fn herd(&self, calls: usize, path: &str) -> Vec<StatusCode> {
        let client: PartnerAuth<Hyper<Full<Bytes>>> = self.auth.layer(hyper());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..calls {
            let request = self.request(Method::GET, path, "");
            let client = client.clone();
            tasks.spawn(async move { client.oneshot(request).await.expect("an answer").status() });
        }
        tasks.join_all().await
    }
}

pub(crate) fn layer(
    sandbox: &Sandbox,
    configure: impl FnOnce(Builder) -> Builder,
) -> PartnerAuthLayer {
    let builder =
        PartnerAuthLayer::builder(sandbox.credentials()).environment(sandbox.environment());
    configure(builder).build().expect("a good configuration")
}

/// Everything that can be read of an error and of what is behind it.
pub(crate) fn all_forms(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        text.push_str(&format!("{error} {error:?} {error:#?}\n"));
        next = error.source();
    }
    text
}

/// hyper-util's client, over HTTP/1.1.
pub(crate) fn hyper<B>() -> Hyper<B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    Client::builder(TokioExecutor::new()).build(connector())
}

/// hyper-util's client, over HTTP/2.
pub(crate) fn hyper_h2<B>() -> Hyper<B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector())
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

pub(crate) fn scope(text: &str) -> Scope {
    text.parse().expect("a valid scope")
}

pub(crate) fn outcome<B>(response: &Response<B>) -> Option<&AuthOutcome> {
    response.extensions().get()
}

pub(crate) fn rejection<B>(response: &Response<B>) -> &Rejection {
    outcome(response).and_then(AuthOutcome::rejection).expect("a rejection in the extensions")
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A body that is fed from outside, as a slow upload is.
pub(crate) fn channel() -> (
    http_body_util::channel::Sender<Bytes, Infallible>,
    http_body_util::channel::Channel<Bytes, Infallible>,
) {
    http_body_util::channel::Channel::new(4)
}
