//! A gRPC client over tonic's channel: here the one for the standard health service.
//!
//! ```text
//! PARTNER_CLIENT_ID=… PARTNER_CLIENT_SECRET=… cargo run --example tonic
//! ```

use std::error::Error;

use http::{Method, Request, Uri};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;
use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, ReplayBody, Route, Verdict};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let credentials = ClientCredentials::new(
        std::env::var("PARTNER_CLIENT_ID")?,
        std::env::var("PARTNER_CLIENT_SECRET")?,
    );
    // One route for all methods of a service. A refusal of gRPC has HTTP status 200: `of_grpc` reads
    // it in the headers.
    let url = "https://grpc.example.com/grpc.health.v1.Health/{method}";
    let auth = PartnerAuthLayer::builder(credentials)
        .token_url("https://accounts.example.com/oauth/token")
        .route(Route::new(Method::POST, url, "health").classify(Verdict::of_grpc))
        .strict()
        .build()?;

    // For https, with a TLS feature of tonic: `Channel::…tls_config(ClientTlsConfig::new())?`.
    let origin = Uri::from_static("https://grpc.example.com");
    let channel = Channel::builder(origin.clone()).connect().await?;
    let service = ServiceBuilder::new()
        .layer(auth)
        .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);

    // With its origin, as the layer matches whole URLs, and the channel would add it only later.
    let mut client = HealthClient::with_origin(service, origin);
    let answer = client.check(HealthCheckRequest { service: String::new() }).await?;
    println!("{:?}", answer.into_inner().status());
    Ok(())
}
