//! The floor: a layer that can do nothing but set a constant header.
//!
//! Setup: <https://docs.rs/tower-http/0.6/tower_http/set_header/request/index.html>

use http::HeaderValue;
use http::header::AUTHORIZATION;
use tower_http::set_header::SetRequestHeader;

use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, request, send};

pub(super) const ENTRY: Entry = Entry::of::<Floor>(About {
    name: "tower-http SetRequestHeader (the floor)",
    package: Some("tower-http"),
    setup: "https://docs.rs/tower-http/0.6/tower_http/set_header/request/index.html",
    cannot: "anything but set a constant",
    after_401: After401::Returned,
    no_tokens: Some("a constant is never fetched, renewed or revoked"),
    warm_only: false,
});

#[derive(Clone)]
struct Floor {
    service: SetRequestHeader<Api, HeaderValue>,
    api: Api,
}

impl Peer for Floor {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let constant = partner.constant();
        let service = SetRequestHeader::overriding(api.clone(), AUTHORIZATION, constant);
        Ok(Self { service, api })
    }

    async fn call(&mut self) -> Outcome {
        send(&mut self.service, request()).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
