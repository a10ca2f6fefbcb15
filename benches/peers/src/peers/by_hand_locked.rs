//! What people write by hand, with care: an `Option` of a token and its deadline under a mutex that
//! is held while the token is fetched, so that there is one fetch; `format!`; and a 401 forgets the
//! token that it was for, and sends the request again, from a body that happens to be in memory.

use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use tokio::sync::Mutex;

use crate::http_client::{Fetched, TokenEndpoint};
use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, request, send};

pub(super) const ENTRY: Entry = Entry::of::<ByHandLocked>(About {
    name: "by hand, with a lock across the fetch",
    package: None,
    setup: "as it is commonly written",
    cannot: "renew ahead; back off; send a streaming body again",
    after_401: After401::MadeAgain,
    no_tokens: None,
    warm_only: false,
});

#[derive(Clone)]
struct ByHandLocked {
    cache: Arc<Mutex<Option<(String, Instant)>>>,
    endpoint: TokenEndpoint,
    api: Api,
}

impl ByHandLocked {
    async fn token(&self) -> Result<String, Failure> {
        let mut cache = self.cache.lock().await;
        if let Some((token, until)) = &*cache
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let asked_at = Instant::now();
        let Fetched { token, life } = self.endpoint.fetch().await?;
        *cache = Some((token.clone(), asked_at + life));
        Ok(token)
    }

    async fn forget(&self, rejected: &str) {
        let mut cache = self.cache.lock().await;
        if cache.as_ref().is_some_and(|(token, _)| token == rejected) {
            *cache = None;
        }
    }

    async fn send(&mut self, token: &str) -> Outcome {
        let mut request = request();
        let value = HeaderValue::try_from(format!("Bearer {token}"))?;
        request.headers_mut().insert(AUTHORIZATION, value);
        send(&mut self.api, request).await
    }
}

impl Peer for ByHandLocked {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        Ok(Self { cache: Arc::default(), endpoint: TokenEndpoint::of(partner)?, api })
    }

    async fn call(&mut self) -> Outcome {
        let token = self.token().await?;
        let status = self.send(&token).await?;
        if status != StatusCode::UNAUTHORIZED {
            return Ok(status);
        }
        self.forget(&token).await;
        let token = self.token().await?;
        self.send(&token).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
