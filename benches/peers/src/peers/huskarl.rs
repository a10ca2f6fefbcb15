//! `huskarl`: a grant, a cache over it, and an authorizer that makes headers of it.
//!
//! Setup: the crate's guides "Caching tokens and wiring an authorizer"
//! (<https://docs.rs/huskarl/0.11/huskarl/_docs/guide/caching/>) and "Making authenticated
//! requests" (<https://docs.rs/huskarl/0.11/huskarl/_docs/guide/authorizer/>), whose request loop,
//! with its one repetition after a 401, is the one here. All settings are the defaults.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use huskarl::authorizer::{HttpAuthorizer, parse_challenges};
use huskarl::cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache};
use huskarl::core::client_auth::ClientSecret;
use huskarl::core::platform::MaybeSendBoxFuture;
use huskarl::core::secrets::{Secret, SecretOutput, SecretString};
use huskarl::core::{Error, OAuthErrorCode};
use huskarl::grant::client_credentials::{
    ClientCredentialsGrant, ClientCredentialsGrantParameters,
};
use huskarl_reqwest::ReqwestClient;
use tower::Service;

use crate::partner::{Api, Partner};
use crate::peer::{API_URL, About, After401, Entry, Failure, Outcome, Peer, SCOPE, request, send};

pub(super) const ENTRY: Entry = Entry::of::<Huskarl>(About {
    name: "huskarl",
    package: Some("huskarl"),
    setup: "https://docs.rs/huskarl/0.11/huskarl/_docs/guide/authorizer/",
    cannot: "be a layer: the request loop, with its repetition after a 401, is the user's; \
             renew behind its callers",
    after_401: After401::MadeAgain,
    no_tokens: None,
    warm_only: false,
});

#[derive(Clone)]
struct Huskarl {
    authorizer: Arc<HttpAuthorizer>,
    uri: Uri,
    api: Api,
}

/// The crate's own secrets come from the environment or a file.
struct Constant;

impl Secret for Constant {
    type Output = SecretString;

    fn get_secret_value(
        &self,
    ) -> MaybeSendBoxFuture<'_, Result<SecretOutput<SecretString>, Error>> {
        Box::pin(async { Ok(SecretOutput { value: SecretString::new("secret"), identity: None }) })
    }
}

impl Huskarl {
    async fn send(
        &mut self,
        mut request: Request<Full<bytes::Bytes>>,
        headers: HeaderMap<HeaderValue>,
    ) -> Result<Response<Full<bytes::Bytes>>, Failure> {
        request.headers_mut().extend(headers);
        let response = self.api.call(request).await?;
        self.authorizer.process_response(&self.uri, response.headers());
        Ok(response)
    }
}

impl Peer for Huskarl {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let grant = ClientCredentialsGrant::builder()
            .token_endpoint(partner.token_url().parse()?)
            .client_id("id")
            .http_client(ReqwestClient::builder().build().await?)
            .client_auth(ClientSecret::new(Constant))
            .build();
        let parameters =
            ClientCredentialsGrantParameters::builder().scope(vec![SCOPE.to_owned()]).build();
        let source = GrantTokenSource::builder()
            .grant(grant)
            .grant_parameters(parameters)
            .refresh_store(InMemoryRefreshTokenStore::default())
            .build();
        let cache = InMemoryTokenCache::builder().source(source).build();
        let authorizer = Arc::new(HttpAuthorizer::builder().cache(cache).build());
        Ok(Self { authorizer, uri: API_URL.parse()?, api })
    }

    async fn call(&mut self) -> Outcome {
        let headers = self.authorizer.get_headers(&Method::POST, &self.uri).await?;
        let response = self.send(request(), headers).await?;
        let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
        let scope_problem = unauthorized
            && parse_challenges(response.headers())
                .iter()
                .any(|challenge| challenge.error() == Some(OAuthErrorCode::InsufficientScope));
        if !unauthorized || scope_problem {
            return Ok(response.status());
        }
        let headers = self.authorizer.get_headers(&Method::POST, &self.uri).await?;
        Ok(self.send(request(), headers).await?.status())
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
