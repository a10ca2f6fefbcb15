//! The shared store on a Redis that has a certificate of a private authority.
//!
//! ```text
//! PARTNER_CLIENT_ID=… PARTNER_CLIENT_SECRET=… STORE_KEY=… \
//!     cargo run --example redis_tls -- rediss://fleet:password@redis.internal:6379 root.pem
//! ```

use std::env;
use std::error::Error;

use redis::{Client, TlsCertificates};
use rustls::crypto::ring::default_provider;
use tower_partner_auth::store::{RedisStore, StoreKeys};
use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, Route};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().ok_or("which Redis?")?;
    let pem = std::fs::read(arguments.next().ok_or("which root certificate?")?)?;

    // The crate `redis` leaves the choice to rustls, which panics where it finds none, or two.
    default_provider().install_default().map_err(|_| "there is a TLS provider already")?;

    let root = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    let client = Client::build_with_tls(url, root)?;
    // Not its connection: a store that connects by itself does so later, and again and again.
    let store = RedisStore::connect(client.get_connection_info().clone())?;

    let credentials =
        ClientCredentials::new(env::var("PARTNER_CLIENT_ID")?, env::var("PARTNER_CLIENT_SECRET")?);
    let auth = PartnerAuthLayer::builder(credentials)
        .token_url("https://accounts.internal.example/oauth/token")
        .route(Route::any("https://reports.internal.example/{*path}", "read_reports"))
        .shared_store(store, StoreKeys::from_base64(&env::var("STORE_KEY")?)?)
        .build()?;

    println!("{:?}", auth.prewarm().await);
    println!("{:?}", auth.status().store());
    Ok(())
}
