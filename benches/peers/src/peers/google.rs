//! `google-cloud-auth`: credentials that make headers, from a cache that a task keeps fresh.
//!
//! Setup: `credentials::user_account`, "Creating credentials from a JSON object"
//! (<https://docs.rs/google-cloud-auth/1/google_cloud_auth/credentials/user_account/>). It is the
//! kind of credentials that takes any token endpoint (`token_uri`); the grant is a refresh token's,
//! since the crate has no client credentials, and the cache is the same for all kinds.

use google_cloud_auth::credentials::user_account::Builder;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::Extensions;
use serde_json::json;

use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, SCOPE, request, send};

pub(super) const ENTRY: Entry = Entry::of::<Google>(About {
    name: "google-cloud-auth",
    package: Some("google-cloud-auth"),
    setup: "https://docs.rs/google-cloud-auth/1/google_cloud_auth/credentials/user_account/",
    cannot: "use the client-credentials grant; see a 401; renew a token that lives less than four \
             minutes more often than every ten seconds",
    after_401: After401::Returned,
    no_tokens: None,
    warm_only: false,
});

#[derive(Clone)]
struct Google {
    credentials: Credentials,
    api: Api,
}

impl Peer for Google {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let authorized_user = json!({
            "client_id": "id",
            "client_secret": "secret",
            "refresh_token": "refresh",
            "type": "authorized_user",
            "token_uri": partner.token_url(),
        });
        let credentials = Builder::new(authorized_user).with_scopes([SCOPE]).build()?;
        Ok(Self { credentials, api })
    }

    async fn call(&mut self) -> Outcome {
        // Without an entity tag, as for a first request: the headers are there each time.
        let headers = match self.credentials.headers(Extensions::new()).await? {
            CacheableResource::New { data, .. } => data,
            CacheableResource::NotModified => return Err("there was no tag to compare".into()),
        };
        let mut request = request();
        request.headers_mut().extend(headers);
        send(&mut self.api, request).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
