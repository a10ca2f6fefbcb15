//! `aliri_tokens`: a task that renews a token, and a watch channel to read it from.
//!
//! Setup: the crate's page, "General Flow (Client Credentials)"
//! (<https://docs.rs/aliri_tokens/0.3>), without the file cache, and with the form body of
//! `using_form_data`. The page's settings, a jitter of 60 seconds and a freshness of at least 30,
//! would never renew a token of two seconds in time; for tokens that live less than two minutes the
//! knobs for that are turned: no jitter, and three quarters of the life.
//!
//! It asks with an audience and cannot ask for a scope.

use ::aliri::jwt::Audience;
use aliri_clock::DurationSecs;
use aliri_tokens::backoff::ErrorBackoffConfig;
use aliri_tokens::jitter::{NullJitter, RandomEarlyJitter};
use aliri_tokens::sources::oauth2::ClientCredentialsTokenSource;
use aliri_tokens::sources::oauth2::dto::{ClientCredentials, ClientCredentialsWithAudience};
use aliri_tokens::{ClientId, ClientSecret, TokenLifetimeConfig, TokenWatcher};
use http::HeaderValue;
use http::header::AUTHORIZATION;

use crate::partner::{Api, Partner};
use crate::peer::{About, After401, Entry, Failure, Outcome, Peer, request, send};

pub(super) const ENTRY: Entry = Entry::of::<Aliri>(About {
    name: "aliri_tokens",
    package: Some("aliri_tokens"),
    setup: "https://docs.rs/aliri_tokens/0.3 (General Flow)",
    cannot: "ask for a scope; start without a token server; wait for a token; see a 401; \
             tell an expired token to those who do not ask",
    after_401: After401::Returned,
    no_tokens: None,
    warm_only: false,
});

/// Below it, the documented settings do not fit a token's life, in seconds.
const SHORT: u64 = 120;

#[derive(Clone)]
struct Aliri {
    watcher: TokenWatcher,
    api: Api,
}

impl Peer for Aliri {
    async fn start(partner: &Partner, api: Api) -> Result<Self, Failure> {
        let credentials = ClientCredentialsWithAudience {
            credentials: ClientCredentials {
                client_id: ClientId::from_static("id"),
                client_secret: ClientSecret::from_static("secret"),
            }
            .into(),
            audience: Audience::from_static("reports"),
        };
        let short = partner.life().as_secs() < SHORT;
        let lifetime = if short {
            TokenLifetimeConfig::new(0.75, DurationSecs(0))
        } else {
            TokenLifetimeConfig::default()
        };
        let source = ClientCredentialsTokenSource::new(
            reqwest::Client::new(),
            partner.token_url().parse()?,
            credentials,
            lifetime,
        )
        .using_form_data();
        let backoff = ErrorBackoffConfig::default();
        let watcher = if short {
            TokenWatcher::spawn_from_token_source(source, NullJitter, backoff).await?
        } else {
            let jitter = RandomEarlyJitter::new(DurationSecs(60));
            TokenWatcher::spawn_from_token_source(source, jitter, backoff).await?
        };
        Ok(Self { watcher, api })
    }

    async fn call(&mut self) -> Outcome {
        let value = format!("Bearer {}", self.watcher.token().access_token().as_str());
        let mut request = request();
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::try_from(value)?);
        send(&mut self.api, request).await
    }

    async fn bare(&mut self) -> Outcome {
        send(&mut self.api, request()).await
    }
}
