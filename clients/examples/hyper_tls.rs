//! hyper-util's client over TLS, where the token server and the API have certificates of a private
//! authority.
//!
//! ```text
//! PARTNER_CLIENT_ID=… PARTNER_CLIENT_SECRET=… cargo run --example hyper_tls -- root.pem
//! ```

use std::error::Error;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tower::{ServiceBuilder, ServiceExt};
use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, Route};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pem = std::fs::read(std::env::args().nth(1).ok_or("which root certificate?")?)?;

    // The layer fetches tokens with a client of its own, and has to be told of the authority …
    let credentials = ClientCredentials::new(
        std::env::var("PARTNER_CLIENT_ID")?,
        std::env::var("PARTNER_CLIENT_SECRET")?,
    );
    let auth = PartnerAuthLayer::builder(credentials)
        .token_url("https://accounts.internal.example/oauth/token")
        .token_root_certificates(&pem)
        .route(Route::any("https://reports.internal.example/{*path}", "read_reports"))
        .build()?;

    // … as your client has to be for the API.
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
    let http_client = Client::builder(TokioExecutor::new()).build(https);
    let client = ServiceBuilder::new().layer(auth).service(http_client);

    let request =
        Request::get("https://reports.internal.example/v1/7").body(Empty::<Bytes>::new())?;
    let response = client.oneshot(request).await?;
    println!("{}", response.status());
    Ok(())
}
