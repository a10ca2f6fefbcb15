//! `azure_core` with `azure_identity`: a policy of a request pipeline over a credential.
//!
//! Setup: `ClientSecretCredential`
//! (<https://docs.rs/azure_identity/1/azure_identity/struct.ClientSecretCredential.html>) under
//! `BearerTokenAuthorizationPolicy`
//! (<https://docs.rs/azure_core/1/azure_core/http/policies/auth/struct.BearerTokenAuthorizationPolicy.html>),
//! as the Azure clients do it. The credential goes to Entra over https only, so its transport, which
//! the documentation lets one bring, takes its requests to the token server on loopback.
//!
//! The policy is called by itself, with the API as the one after it: the rest of a pipeline (request
//! ids, spans, retries) is no cost of a token.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::Secret;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, Headers, WWW_AUTHENTICATE};
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, Context, HttpClient, Method, Request, StatusCode,
    Transport, Url,
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use crate::http_client::{self, http_client};
use crate::partner::{Api, CHALLENGE, Partner};
use crate::peer::{API_BODY, API_URL, About, After401, Entry, Failure, Outcome, Peer, SCOPE};

pub(super) const ENTRY: Entry = Entry::of::<Azure>(About {
    name: "azure_core + azure_identity",
    package: Some("azure_core"),
    setup: "https://docs.rs/azure_identity/1/azure_identity/struct.ClientSecretCredential.html",
    cannot: "go to a token server that is not Entra's, but for its transport; send again after a \
             401 (a callback of its user's may: the credential's cache gives it the same token); renew behind its callers; tokens that live less than five minutes are fetched at \
             each call",
    after_401: After401::Returned,
    no_tokens: None,
    warm_only: false,
});

#[derive(Clone)]
struct Azure {
    policy: Arc<BearerTokenAuthorizationPolicy>,
    api: Arc<dyn Policy>,
    url: Url,
}

/// The API as the last policy of a pipeline.
#[derive(Debug)]
struct ApiPolicy(Api);

#[async_trait]
impl Policy for ApiPolicy {
    async fn send(
        &self,
        _: &Context,
        request: &mut Request,
        _: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        // Not by name: a header that is missing would cost an error, and that a backtrace.
        let authorization = request.headers().iter().find(|(name, _)| **name == AUTHORIZATION);
        let answer = self.0.answer(authorization.map(|(_, value)| value.as_str().as_bytes())).await;
        let status = answer.unwrap_or_else(|never| match never {}).status();
        let mut headers = Headers::new();
        if status == http::StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status.as_u16()), headers, Bytes::new()))
    }
}

/// Takes every token request to the partner.
#[derive(Debug)]
struct ToPartner {
    client: http_client::HttpClient,
    url: http::Uri,
}

#[async_trait]
impl HttpClient for ToPartner {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.exchange(request)
            .await
            .map_err(|failure| azure_core::Error::new(ErrorKind::Io, failure))
    }
}

impl ToPartner {
    async fn exchange(&self, request: &Request) -> Result<AsyncRawResponse, Failure> {
        let Body::Bytes(body) = request.body() else { return Err("a form is bytes".into()) };
        let mut message = http::Request::post(self.url.clone());
        for (name, value) in request.headers().iter() {
            message = message.header(name.as_str(), value.as_str());
        }
        let response = self.client.request(message.body(Full::from(body.clone()))?).await?;
        let status = StatusCode::from(response.status().as_u16());
        let body = response.into_body().collect().await?.to_bytes();
        Ok(AsyncRawResponse::from_bytes(status, Headers::new(), body))
    }
}

impl Azure {
    fn request(&self) -> Request {
        let mut request = Request::new(self.url.clone(), Method::Post);
        request.insert_header("accept", "application/json");
        request.insert_header("content-type", "application/json");
        request.insert_header("user-agent", "bench/1.0");
        request.set_body(Bytes::from_static(API_BODY.as_bytes()));
        request
    }
}

impl Peer for Azure {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let to_partner = ToPartner { client: http_client(), url: partner.token_url().parse()? };
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::new(to_partner))),
            ..Default::default()
        };
        let credential = ClientSecretCredential::new(
            "tenant",
            "id".to_owned(),
            Secret::new("secret"),
            Some(ClientSecretCredentialOptions { client_options }),
        )?;
        let policy = Arc::new(BearerTokenAuthorizationPolicy::new(credential, [SCOPE]));
        Ok(Self { policy, api: Arc::new(ApiPolicy(api)), url: API_URL.parse()? })
    }

    async fn call(&mut self) -> Outcome {
        let mut request = self.request();
        let next = std::slice::from_ref(&self.api);
        let response = self.policy.send(&Context::new(), &mut request, next).await?;
        Ok(http::StatusCode::from_u16(response.status().into())?)
    }

    async fn bare(&mut self) -> Outcome {
        let mut request = self.request();
        let response = self.api.send(&Context::new(), &mut request, &[]).await?;
        Ok(http::StatusCode::from_u16(response.status().into())?)
    }
}
