//! `middle`: an authorizer whose task keeps a header up to date.
//!
//! Setup: the crate's page, "Example" (<https://docs.rs/middle/0.5>), with the default tolerance.
//! Its `HttpClient` is reqwest's only; what that does to a request (`HttpClient::execute`) is done
//! here to the API's.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use middle::{Authorizer, BasicClientCredentialAuthorizer};

use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, SCOPE, request, send};

pub(super) const ENTRY: Entry = Entry::of::<Middle>(About {
    name: "middle",
    package: Some("middle"),
    setup: "https://docs.rs/middle/0.5 (Example)",
    cannot: "start without a token server; wait for a token; see a 401; have more than one scope set",
    after_401: After401::Returned,
    no_tokens: None,
    warm_only: false,
});

#[derive(Clone)]
struct Middle {
    authorizer: BasicClientCredentialAuthorizer,
    api: Api,
}

impl Peer for Middle {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let token_url = partner.token_url().parse()?;
        let authorizer = BasicClientCredentialAuthorizer::basic_builder("id", "secret", token_url)
            .add_scope(SCOPE)
            .build()
            .await?;
        Ok(Self { authorizer, api })
    }

    async fn call(&mut self) -> Outcome {
        let header = self.authorizer.authorization_header()?;
        let mut request = request();
        if !request.headers().contains_key(AUTHORIZATION) {
            request.headers_mut().insert(AUTHORIZATION, Arc::unwrap_or_clone(header));
        }
        send(&mut self.api, request).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
