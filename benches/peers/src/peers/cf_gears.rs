//! `cf-gears-toolkit-auth`: a Tower layer over a token provider with a worker of its own.
//!
//! Setup: the crate's page, "Outbound OAuth2 quick start"
//! (<https://docs.rs/cf-gears-toolkit-auth/0.8>), with `BearerAuthAutoRefreshLayer` in the place of
//! `with_bearer_auth`, since it is the one that answers a 401; and, for the warm scenario, the plain
//! `BearerAuthLayer` too. All settings are the defaults: half way through the life of a token that
//! lives shorter than half an hour, it is renewed.
//!
//! The layers are over any service whose error is `toolkit_http`'s, so the API is wrapped in that.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use toolkit_auth::oauth2::{
    BearerAuthAutoRefreshLayer, BearerAuthLayer, OAuthClientConfig, SecretString, TokenProvider,
};
use toolkit_http::HttpError;
use tower::util::MapErr;
use tower::{Layer, Service, ServiceExt};

use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, SCOPE, request, send};

const ABOUT: About = About {
    name: "cf-gears-toolkit-auth",
    package: Some("cf-gears-toolkit-auth"),
    setup: "https://docs.rs/cf-gears-toolkit-auth/0.8 (quick start; Reactive refresh on 401)",
    cannot: "have more than one scope set a layer; answer a second revocation within 15 minutes, \
             by default; send a streaming body again; sit on a service with an error of its own",
    after_401: After401::SentAgain,
    no_tokens: None,
    warm_only: false,
};

pub(super) const ENTRY: Entry = Entry::of::<CfGears<BearerAuthAutoRefreshLayer>>(ABOUT);

pub(super) const PLAIN: Entry = Entry::of::<CfGears<BearerAuthLayer>>(About {
    name: "cf-gears-toolkit-auth, BearerAuthLayer",
    setup: "https://docs.rs/cf-gears-toolkit-auth/0.8 (quick start)",
    cannot: "answer a 401",
    after_401: After401::Returned,
    warm_only: true,
    ..ABOUT
});

type HttpApi = MapErr<Api, fn(Infallible) -> HttpError>;

/// Either of the crate's two layers.
trait BearerLayer: Layer<HttpApi> {
    fn over(provider: TokenProvider) -> Self;
}

impl BearerLayer for BearerAuthLayer {
    fn over(provider: TokenProvider) -> Self {
        Self::new(provider)
    }
}

impl BearerLayer for BearerAuthAutoRefreshLayer {
    fn over(provider: TokenProvider) -> Self {
        Self::new(provider)
    }
}

struct CfGears<L: BearerLayer> {
    service: L::Service,
    inner: HttpApi,
}

impl<L: BearerLayer<Service: Clone>> Clone for CfGears<L> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), inner: self.inner.clone() }
    }
}

impl<L> Peer for CfGears<L>
where
    L: BearerLayer + 'static,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = HttpError>,
    L::Service: Clone + Send + Sync + 'static,
    <L::Service as Service<Request<Full<Bytes>>>>::Future: Send,
{
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let provider = TokenProvider::new(OAuthClientConfig {
            token_endpoint: Some(partner.token_url().parse()?),
            client_id: "id".into(),
            client_secret: SecretString::new("secret"),
            scopes: vec![SCOPE.into()],
            ..Default::default()
        })?;
        let unfailing: fn(Infallible) -> HttpError = |never| match never {};
        let inner = ServiceExt::<Request<Full<Bytes>>>::map_err(api, unfailing);
        Ok(Self { service: L::over(provider).layer(inner.clone()), inner })
    }

    async fn call(&mut self) -> Outcome {
        send(&mut self.service, request()).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.inner, request()).await
    }
}
