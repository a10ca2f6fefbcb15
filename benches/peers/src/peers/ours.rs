//! This library, as its README sets it up for an API that is not the partner's.

use tower::Layer;
use tower_partner_auth::{ClientCredentials, OnUnauthorized, PartnerAuth, PartnerAuthLayer, Route};

use crate::http_client::http_client;
use crate::partner::{Api, Partner};
use crate::peer::{
    API_ORIGIN, About, After401, Entry, Failure, Outcome, Peer, SCOPE, request, send,
};

pub(crate) const OURS: &str = "tower-partner-auth";
pub(crate) const OURS_WITHOUT_REPLAY: &str = "tower-partner-auth, replay off";

const ABOUT: About = About {
    name: OURS,
    package: Some("tower-partner-auth"),
    setup: "README.md, \"Quick start\"",
    cannot: "—",
    after_401: After401::SentAgain,
    no_tokens: None,
    warm_only: false,
};

pub(super) const ENTRY: Entry = Entry::of::<Ours<true>>(ABOUT);

pub(super) const WITHOUT_REPLAY: Entry = Entry::of::<Ours<false>>(About {
    name: OURS_WITHOUT_REPLAY,
    cannot: "a 401 renews the token, and is the caller's",
    after_401: After401::Returned,
    warm_only: true,
    ..ABOUT
});

#[derive(Clone)]
struct Ours<const REPLAY: bool> {
    service: PartnerAuth<Api>,
    api: Api,
}

impl<const REPLAY: bool> Peer for Ours<REPLAY> {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let on_401 = if REPLAY { OnUnauthorized::Replay } else { OnUnauthorized::Renew };
        let route = Route::any(format!("{API_ORIGIN}/{{*path}}"), SCOPE).on_unauthorized(on_401);
        let auth = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
            .token_url(partner.token_url())
            .route(route)
            .http_client(http_client())
            .build()?;
        Ok(Self { service: auth.layer(api.clone()), api })
    }

    async fn call(&mut self) -> Outcome {
        send(&mut self.service, request()).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
