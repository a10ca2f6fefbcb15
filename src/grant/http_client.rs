//! The built-in HTTP client for token requests: hyper-util over TLS by rustls.

use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::stack::{HttpClient, boxed_http_client};

/// A token is fetched a few times an hour; a connection kept longer is usually dead when needed.
const IDLE: Duration = Duration::from_secs(15);

/// A client that follows no redirects and keeps no cookies. It must be able to speak plain http: to
/// a loopback address, which the builder has checked. It trusts `roots` and no others.
pub(crate) fn http_client(connect_timeout: Duration, roots: RootCertStore) -> HttpClient {
    let tls = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the ring provider supports the default TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(connect_timeout));
    http.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(https);
    boxed_http_client(client)
}
