//! What people write by hand, in a hurry: the mutex is the standard library's and let go before the
//! fetch, so that every caller who finds no token fetches one. A 401 forgets the token and is the
//! caller's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};

use crate::http_client::{Fetched, TokenEndpoint};
use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, request, send};

pub(super) const ENTRY: Entry = Entry::of::<ByHandUnlocked>(About {
    name: "by hand, without a lock across the fetch",
    package: None,
    setup: "as it is commonly written",
    cannot: "share a fetch; renew ahead; back off; send again",
    after_401: After401::Returned,
    no_tokens: None,
    warm_only: false,
});

type Cached = Option<(String, Instant)>;

#[derive(Clone)]
struct ByHandUnlocked {
    cache: Arc<Mutex<Cached>>,
    endpoint: TokenEndpoint,
    api: Api,
}

impl ByHandUnlocked {
    fn cache(&self) -> MutexGuard<'_, Cached> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> Option<String> {
        let cache = self.cache();
        let (token, until) = cache.as_ref()?;
        (Instant::now() < *until).then(|| token.clone())
    }

    async fn token(&self) -> Result<String, Failure> {
        if let Some(token) = self.cached() {
            return Ok(token);
        }
        let asked_at = Instant::now();
        let Fetched { token, life } = self.endpoint.fetch().await?;
        *self.cache() = Some((token.clone(), asked_at + life));
        Ok(token)
    }
}

impl Peer for ByHandUnlocked {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        Ok(Self { cache: Arc::default(), endpoint: TokenEndpoint::of(partner)?, api })
    }

    async fn call(&mut self) -> Outcome {
        let token = self.token().await?;
        let mut request = request();
        let value = HeaderValue::try_from(format!("Bearer {token}"))?;
        request.headers_mut().insert(AUTHORIZATION, value);
        let status = send(&mut self.api, request).await?;
        if status == StatusCode::UNAUTHORIZED {
            *self.cache() = None;
        }
        Ok(status)
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
