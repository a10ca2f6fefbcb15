//! reqwest's client, with the adapter crate `tower-reqwest`.
//!
//! ```text
//! PARTNER_CLIENT_ID=… PARTNER_CLIENT_SECRET=… cargo run --example reqwest
//! ```

use std::error::Error;

use http::Request;
use http_body_util::BodyExt;
use reqwest::{Body, redirect};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, ReplayBody, Route};
use tower_reqwest::HttpClientLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Only where reqwest is built without a TLS provider of its own, as here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let credentials = ClientCredentials::new(
        std::env::var("PARTNER_CLIENT_ID")?,
        std::env::var("PARTNER_CLIENT_SECRET")?,
    );
    let auth = PartnerAuthLayer::builder(credentials)
        .token_url("https://accounts.example.com/oauth/token")
        .route(Route::any("https://reports.example.com/{*path}", "read_reports"))
        .build()?;

    // reqwest follows redirects by itself, out of the layer's sight: let it follow none …
    let http_client = reqwest::Client::builder().redirect(redirect::Policy::none()).build()?;
    let client = ServiceBuilder::new()
        // … and where they are to be followed, do it over the layer.
        .layer(FollowRedirectLayer::new())
        .layer(auth)
        .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::wrap))
        .layer(HttpClientLayer)
        .service(http_client);

    let request = Request::post("https://reports.example.com/v1").body(Body::from("a report"))?;
    let response = client.oneshot(request).await?;
    println!("{}", response.status());
    println!("{:?}", response.into_body().collect().await?.to_bytes());
    Ok(())
}
