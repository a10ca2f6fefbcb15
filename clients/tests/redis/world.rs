//! A partner, and layers that were built on their own and share by a store.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::store::{SharedStore, StoreKeys, StoreStatus};
use tower_partner_auth::{Builder, PartnerAuthLayer};

/// Routes of as many scopes.
pub(crate) const PATHS: [&str; 5] = [
    "/api/v1/merchants/7",
    "/api/v1/merchants/7/credential",
    "/api/v1/merchants/7/generate_merged_document_for_esign",
    "/api/v3/merchants/kyc_document/info",
    "/payment-links",
];

/// Longer than anything takes on a busy machine.
const PATIENT: Duration = Duration::from_secs(5);

/// The rights that FLEET.md says are enough.
pub(crate) const RIGHTS: [&str; 15] = [
    "on",
    ">s3cret",
    "resetkeys",
    "~tower-partner-auth:*",
    "-@all",
    "+evalsha",
    "+script|load",
    "+type",
    "+time",
    "+hmget",
    "+hget",
    "+hset",
    "+pttl",
    "+pexpire",
    "+del",
];

pub(crate) fn auth(sandbox: &Sandbox, store: impl SharedStore) -> PartnerAuthLayer {
    builder(sandbox, store).store_timeout(PATIENT).build().unwrap()
}

/// One that gives the store no more time than it would by default.
pub(crate) fn impatient(sandbox: &Sandbox, store: impl SharedStore) -> PartnerAuthLayer {
    builder(sandbox, store).build().unwrap()
}

fn builder(sandbox: &Sandbox, store: impl SharedStore) -> Builder {
    PartnerAuthLayer::builder(sandbox.credentials())
        .environment(sandbox.environment())
        .shared_store(store, StoreKeys::new(&[1; 32]))
}

pub(crate) async fn assert_ok(sandbox: &Sandbox, auth: &PartnerAuthLayer, path: &str) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("{}{path}", sandbox.origin()));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = auth.layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
}

pub(crate) fn status(auth: &PartnerAuthLayer) -> StoreStatus {
    *auth.status().store().expect("it has one")
}
