//! The layer around an HTTP client, and a call through it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::{AuthOutcome, PartnerAuth, PartnerAuthLayer, ReplayBody};

/// More than any call needs: a fault should end the tour, not hang it.
const CALL_LIMIT: Duration = Duration::from_secs(40);

/// How many calls were begun, as no server can know.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// An HTTP client that authorises its requests. `C` connects, `B` is the body of a request.
pub(crate) type Authorised<C, B> = PartnerAuth<Client<C, ReplayBody<B>>>;

/// The layer, for a sandbox.
pub(crate) fn layer_for(sandbox: &Sandbox) -> Result<PartnerAuthLayer, BoxError> {
    let builder = PartnerAuthLayer::builder(sandbox.credentials());
    Ok(builder.environment(sandbox.environment()).build()?)
}

/// The layer around hyper-util's client. All clients made of one layer share its tokens.
pub(crate) fn client_over<B>(auth: &PartnerAuthLayer) -> Authorised<HttpConnector, B>
where
    B: http_body::Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let http_client = Client::builder(TokioExecutor::new()).build(connector());
    ServiceBuilder::new().layer(auth.clone()).service(http_client)
}

/// The same over HTTP/2, where a thousand requests need one connection and not a thousand: more
/// files than a process may have open on many a machine.
pub(crate) fn http2_client_over(auth: &PartnerAuthLayer) -> Authorised<HttpConnector, Full<Bytes>> {
    let http_client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector());
    ServiceBuilder::new().layer(auth.clone()).service(http_client)
}

/// The same for an API that may be behind TLS.
pub(crate) fn https_client_over(
    auth: &PartnerAuthLayer,
) -> Result<Authorised<HttpsConnector<HttpConnector>, Full<Bytes>>, BoxError> {
    let mut http = connector();
    // Its part is the TCP connection, whatever the scheme.
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let http_client = Client::builder(TokioExecutor::new()).build(https);
    Ok(ServiceBuilder::new().layer(auth.clone()).service(http_client))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    // Small requests are not to wait for more to send.
    connector.set_nodelay(true);
    connector
}

/// What came back of a call.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) outcome: AuthOutcome,
}

pub(crate) async fn call<S, B>(client: &S, request: Request<B>) -> Result<Answer, BoxError>
where
    S: Service<Request<B>, Response = Response<Incoming>> + Clone,
    S::Error: Into<BoxError>,
{
    CALLS.fetch_add(1, Ordering::Relaxed);
    let exchange = async {
        let mut response = client.clone().oneshot(request).await.map_err(Into::into)?;
        // The layer is silent where it had nothing to do but to put the token in.
        let outcome = response.extensions_mut().remove().unwrap_or_default();
        // Read to its end, so that the connection serves the next call.
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        Ok(Answer { status: response.status(), outcome })
    };
    timeout(CALL_LIMIT, exchange).await?
}

#[cfg(feature = "metrics")]
pub(crate) fn calls_made() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Makes all calls at the same time.
pub(crate) async fn call_all(
    client: &Authorised<HttpConnector, Full<Bytes>>,
    requests: Vec<Request<Full<Bytes>>>,
) -> Result<Vec<Answer>, BoxError> {
    let mut calls = JoinSet::new();
    for request in requests {
        let client = client.clone();
        calls.spawn(async move { call(&client, request).await });
    }
    calls.join_all().await.into_iter().collect()
}

pub(crate) fn what_the_layer_did(outcome: &AuthOutcome) -> &'static str {
    match outcome {
        outcome if outcome.rejection().is_some() => "gave up",
        outcome if outcome.replayed() => "replayed",
        outcome if outcome.waited_for_token() => "fetched token",
        _ => "cached token",
    }
}

pub(crate) fn count(answers: &[Answer], matches: impl Fn(&Answer) -> bool) -> usize {
    answers.iter().filter(|answer| matches(answer)).count()
}

pub(crate) fn succeeded(answer: &Answer) -> bool {
    answer.status.is_success()
}
